// ctest: labels=ptx
// Arithmetic of bf16 and f16, single and packed in pairs, rounded once to nearest.
#include <gtest/gtest.h>

#include "tests/ptx/instruction_testing.h"
#include "tests/ptx/interpreter/format16.h"

namespace sequela::ptx {
namespace {

struct Type {
  const char* name;
  const Format16& format;
  std::uint32_t nan;
};
std::vector<Type> Types() { return {{"bf16", Bf16(), 0x7fff}, {"f16", F16(), 0x7fff}}; }

double Value(const Format16& format, std::uint64_t code) {
  const std::uint32_t magnitude = code & 0x7fff;
  if (magnitude > format.Infinity()) return std::nan("");
  const double value = magnitude == format.Infinity() ? HUGE_VAL : format.Number(magnitude);
  return (code & 0x8000) != 0 ? -value : value;
}

// Small enough that sums and products are exact in fp64, and special values.
Rows OperandsOf(const Format16& format) {
  std::vector<std::uint64_t> codes = {0,
                                      0x8000,
                                      format.Infinity(),
                                      format.Infinity() | 0x8000U,
                                      format.Infinity() + 1,
                                      format.Infinity() - 1};
  for (const double value : {1.0, -1.0, 1.5, 0.3333, -2.75, 100.25, -0.007, 1024.0, 1.0078125}) {
    codes.push_back(format.Nearest(value));
  }
  Rows rows;
  for (const std::uint64_t a : codes) {
    for (const std::uint64_t b : codes) {
      const std::uint64_t c = codes[rows.size() % codes.size()];
      // The upper halves hold the operands in another order.
      rows.push_back({a | b << 16, b | c << 16, c | a << 16});
    }
  }
  return rows;
}

template <typename Op>
void ExpectHalves(const std::string& instruction, int operands, const Op& op) {
  for (const Type& type : Types()) {
    const auto half = [&](const Operands& o, int shift) {
      std::array<double, 3> values{};
      for (std::size_t i = 0; i < 3; ++i) values[i] = Value(type.format, o[i] >> shift & 0xffff);
      const double result = op(values[0], values[1], values[2]);
      return std::uint64_t{std::isnan(result) ? type.nan : type.format.Nearest(result)} << shift;
    };
    const Rows rows = OperandsOf(type.format);
    const std::string list = operands == 3 ? "0, %{0}1, %{0}2;" : "0, %{0}1;";
    ExpectAll(instruction + "." + type.name + fmt::format(fmt::runtime(" %hq, %{0}" + list), "h"),
              rows, [&](const Operands& o) { return half(o, 0); });
    ExpectAll(instruction + "." + type.name + fmt::format(fmt::runtime("x2 %rq, %{0}" + list), "r"),
              rows, [&](const Operands& o) { return half(o, 0) | half(o, 16); });
  }
}

TEST(HalfTest, FusedProductsAndSums) {
  ExpectHalves("fma.rn", 3, [](double a, double b, double c) { return std::fma(a, b, c); });
}
TEST(HalfTest, SumsAndProducts) {
  ExpectHalves("add.rn", 2, [](double a, double b, double) { return a + b; });
  ExpectHalves("sub.rn", 2, [](double a, double b, double) { return a - b; });
  ExpectHalves("mul.rn", 2, [](double a, double b, double) { return a * b; });
}
TEST(HalfTest, MinimaAndMaxima) {
  ExpectHalves("min", 2, [](double a, double b, double) {
    return a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b);
  });
  ExpectHalves("max", 2, [](double a, double b, double) {
    return a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b);
  });
}

TEST(HalfTest, Signs) {
  for (const Type& type : Types()) {
    Rows rows = OperandsOf(type.format);
    std::erase_if(rows,
                  [&](const Operands& o) { return std::isnan(Value(type.format, o[0] & 0xffff)); });
    ExpectAll(fmt::format("neg.{} %hq, %h0;", type.name), rows,
              [](const Operands& o) { return (o[0] & 0xffff) ^ 0x8000; });
    ExpectAll(fmt::format("abs.{} %hq, %h0;", type.name), rows,
              [](const Operands& o) { return o[0] & 0x7fff; });
  }
}

}  // namespace
}  // namespace sequela::ptx
