// Runs single instructions of PTX on chosen operands, for tests that hold the interpreter against
// the definitions in NVIDIA's "PTX ISA". What is expected is worked out by the tests in C++ of
// their own.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/base/check.h"
#include "tests/ptx/interpreter/interpreter.h"

namespace sequela::ptx {

using Operands = std::array<std::uint64_t, 3>;
using Rows = std::vector<Operands>;

// Memory that a kernel may touch, for as long as this lives.
template <typename T>
class Registered {
 public:
  explicit Registered(std::vector<T> values, bool initialised = true) : values_(std::move(values)) {
    RegisterMemory(values_.data(), values_.size() * sizeof(T), initialised);
  }
  explicit Registered(std::size_t count) : Registered(std::vector<T>(count), false) {}
  ~Registered() { UnregisterMemory(values_.data()); }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;
  T* data() { return values_.data(); }
  T& operator[](std::size_t i) { return values_[i]; }
  [[nodiscard]] const std::vector<T>& values() const { return values_; }

 private:
  std::vector<T> values_;
};

// A kernel of two pointers, which stand in %in and %out; `before` stands outside of it.
inline std::string KernelText(const std::string& name, const std::string& body,
                              const std::string& before = "") {
  return ".version 8.5\n.target sm_90a\n.address_size 64\n" + before + "\n.visible .entry " + name +
         "(\n\t.param .align 8 .b8 " + name + "_param_0[16]\n)\n.maxntid 1024\n{\n" +
         ".reg .pred %p<8>, %pq;\n.reg .b16 %h<8>, %hq;\n.reg .b32 %r<48>, %rq, %thread;\n"
         ".reg .f32 %f<32>;\n.reg .b64 %d<16>, %dq, %in, %out, %row;\n"
         "ld.param.u64 %in, [" +
         name + "_param_0];\nld.param.u64 %out, [" + name +
         "_param_0+8];\n"
         "cvta.to.global.u64 %in, %in;\ncvta.to.global.u64 %out, %out;\nmov.u32 %thread, "
         "%tid.x;\n" +
         body + "\nret;\n}\n";
}

// Runs such a kernel.
inline void RunText(const std::string& text, const void* in, void* out, std::uint32_t threads = 32,
                    std::uint32_t blocks = 1, std::uint32_t shared_bytes = 0,
                    const char* name = "sequela_text") {
  LoadText(text);
  const std::array<std::uint64_t, 2> pointers = {reinterpret_cast<std::uint64_t>(in),
                                                 reinterpret_cast<std::uint64_t>(out)};
  Run({.name = name,
       .grid = {blocks, 1, 1},
       .block = {threads, 1, 1},
       .shared_bytes = shared_bytes,
       .parameters = pointers.data(),
       .parameters_bytes = sizeof(pointers)});
}

// The message of the fault that ends an action; empty where none does.
inline std::string FaultOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const InternalError& error) {
    return error.what();
  }
  return "";
}

// One thread for each row of operands, which it finds in %d0..2, %r0..2 and %h0..2 (their low
// bits). It leaves its result in one of %dq, %rq, %hq, %pq; narrower ones are extended by zeros.
inline std::vector<std::uint64_t> Evaluate(const std::string& body, const Rows& rows) {
  std::string code =
      "mul.wide.u32 %row, %thread, 24;\nadd.s64 %in, %in, %row;\n"
      "mul.wide.u32 %row, %thread, 8;\nadd.s64 %out, %out, %row;\n";
  for (int i = 0; i < 3; ++i) {
    code += fmt::format(
        "ld.global.b64 %d{0}, [%in+{1}];\nld.global.b32 %r{0}, [%in+{1}];\n"
        "ld.global.b16 %h{0}, [%in+{1}];\n",
        i, 8 * i);
  }
  code += body + "\n";
  if (body.find("%pq") != std::string::npos) code += "selp.u64 %dq, 1, 0, %pq;\n";
  if (body.find("%rq") != std::string::npos) code += "cvt.u64.u32 %dq, %rq;\n";
  if (body.find("%hq") != std::string::npos) code += "cvt.u64.u16 %dq, %hq;\n";
  code += "st.global.b64 [%out], %dq;";
  Registered<Operands> in(rows);
  Registered<std::uint64_t> out(rows.size());
  RunText(KernelText("sequela_text", code), in.data(), out.data(),
          static_cast<std::uint32_t>(rows.size()));
  return out.values();
}

// Whether two results are the same: bits, or both NaN where the manual leaves its payload open.
using Same = std::function<bool(std::uint64_t, std::uint64_t)>;
inline bool SameBits(std::uint64_t a, std::uint64_t b) { return a == b; }
inline bool SameF32(std::uint64_t a, std::uint64_t b) {
  const auto is_nan = [](std::uint64_t bits) {
    return std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  };
  return a == b || (is_nan(a) && is_nan(b));
}
inline bool SameF64(std::uint64_t a, std::uint64_t b) {
  return a == b || (std::isnan(std::bit_cast<double>(a)) && std::isnan(std::bit_cast<double>(b)));
}

using Definition = std::function<std::uint64_t(const Operands&)>;
inline void ExpectAll(const std::string& body, const Rows& rows, const Definition& definition,
                      const Same& same = SameBits) {
  std::vector<std::uint64_t> results;
  try {
    results = Evaluate(body, rows);
  } catch (const std::exception& error) {
    ADD_FAILURE() << body << ": " << error.what();
    return;
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::uint64_t expected = definition(rows[i]);
    EXPECT_TRUE(same(results[i], expected))
        << body
        << fmt::format(" of {:#x}, {:#x}, {:#x} gives {:#x}, the manual says {:#x}", rows[i][0],
                       rows[i][1], rows[i][2], results[i], expected);
  }
}

// Every pair of the values, with a third that passes through all of them.
inline Rows Pairs(const std::vector<std::uint64_t>& values) {
  Rows rows;
  for (const std::uint64_t a : values) {
    for (const std::uint64_t b : values)
      rows.push_back({a, b, values[rows.size() % values.size()]});
  }
  return rows;
}

inline std::uint64_t Bits(float value) { return std::bit_cast<std::uint32_t>(value); }
inline std::uint64_t Bits(double value) { return std::bit_cast<std::uint64_t>(value); }
inline float F32(std::uint64_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}
inline double F64(std::uint64_t bits) { return std::bit_cast<double>(bits); }
// The low bits as another integer, and such an integer as a result.
template <std::integral T>
T As(std::uint64_t bits) {
  return static_cast<T>(bits);
}
template <std::integral T>
std::uint64_t Result(T value) {
  return static_cast<std::make_unsigned_t<T>>(value);
}

}  // namespace sequela::ptx
