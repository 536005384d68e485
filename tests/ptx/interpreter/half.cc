// Arithmetic on bf16 and f16, single and in pairs.
#include <cmath>

#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/numbers.h"

namespace sequela::ptx {
namespace {

struct Half {
  static constexpr std::uint16_t kOne = 0x3c00U;
  static float Read(std::uint16_t bits) { return FromHalf(bits); }
  static std::uint16_t Round(double value) { return ToHalf(value, Rounding::kNearest); }
};
struct Bfloat {
  static constexpr std::uint16_t kOne = 0x3f80U;
  static float Read(std::uint16_t bits) { return FromBf16(bits); }
  static std::uint16_t Round(double value) { return ToBfloat(value, Rounding::kNearest); }
};

enum Operation : std::uint8_t { kAdd, kSub, kMul, kFma, kMin, kMax, kNeg, kAbs };
constexpr std::uint8_t kSaturates = 1;  // form2, with:
constexpr std::uint8_t kRelu = 2;
constexpr std::uint8_t kNanWins = 4;

std::size_t Sources(Operation operation) {
  return operation == kFma ? 3 : operation >= kNeg ? 1 : 2;
}

template <typename Format>
std::uint16_t Extremum(bool least, std::uint16_t a, std::uint16_t b, bool nan_wins) {
  const float x = Format::Read(a);
  const float y = Format::Read(b);
  if (x != x || y != y) return nan_wins || (x != x && y != y) ? kNan16 : (x != x ? b : a);
  const bool less = x == y ? (a & 0x8000U) != 0 : x < y;
  return less == least ? a : b;
}

template <typename Format>
std::uint16_t Apply(const Instruction& in, std::uint16_t a, std::uint16_t b, std::uint16_t c) {
  const auto read = [](std::uint16_t bits) { return static_cast<double>(Format::Read(bits)); };
  std::uint16_t result = 0;
  switch (static_cast<Operation>(in.form)) {
    case kAdd:
      result = Format::Round(FmaToOdd(1.0, read(a), read(b)));
      break;
    case kSub:
      result = Format::Round(FmaToOdd(-1.0, read(b), read(a)));
      break;
    case kMul:
      result = Format::Round(read(a) * read(b));
      break;
    case kFma:
      result = Format::Round(FmaToOdd(read(a), read(b), read(c)));
      break;
    case kMin:
    case kMax:
      result = Extremum<Format>(in.form == kMin, a, b, (in.form2 & kNanWins) != 0);
      break;
    case kNeg:
      return a ^ 0x8000U;
    case kAbs:
      return a & 0x7fffU;
  }
  if ((in.form2 & kSaturates) != 0) {
    const float value = Format::Read(result);
    result = !(value > 0) ? 0 : value > 1 ? Format::kOne : result;
  }
  if ((in.form2 & kRelu) != 0 && Format::Read(result) < 0) result = 0;
  return result;
}

template <typename Format>
void Single(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint16_t>(in.dst[0]);
  const auto* a = warp.Lanes<std::uint16_t>(in.src[0]);
  const auto* b = warp.Lanes<std::uint16_t>(in.src[1]);
  const auto* c = warp.Lanes<std::uint16_t>(in.src[2]);
  ForLanes(mask, [&](std::uint32_t l) { d[l] = Apply<Format>(in, a[l], b[l], c[l]); });
}

template <typename Format>
void Pair(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* a = warp.Lanes<std::uint32_t>(in.src[0]);
  const auto* b = warp.Lanes<std::uint32_t>(in.src[1]);
  const auto* c = warp.Lanes<std::uint32_t>(in.src[2]);
  const auto half = [](std::uint32_t pair, int i) {
    return static_cast<std::uint16_t>(pair >> (16 * i));
  };
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t low = Apply<Format>(in, half(a[l], 0), half(b[l], 0), half(c[l], 0));
    const std::uint32_t high = Apply<Format>(in, half(a[l], 1), half(b[l], 1), half(c[l], 1));
    d[l] = low | high << 16;
  });
}

Operation OperationOf(Decoder& d) {
  static const std::map<std::string_view, Operation> operations = {
      {"add", kAdd}, {"sub", kSub}, {"mul", kMul}, {"fma", kFma},
      {"min", kMin}, {"max", kMax}, {"neg", kNeg}, {"abs", kAbs}};
  const auto found = operations.find(d.op.Root());
  if (found == operations.end()) d.Fail("not for this type");
  return found->second;
}

}  // namespace

bool BuildHalf(Decoder& d, Type type) {
  const bool half = type == Type::kF16 || type == Type::kF16x2;
  const bool bfloat = type == Type::kBf16 || type == Type::kBf16x2;
  if (!half && !bfloat) return false;
  const Operation operation = OperationOf(d);
  d.in.form = operation;
  d.op.Take("rn");
  if (d.op.Take("sat")) d.in.form2 |= kSaturates;
  if (d.op.Take("relu")) d.in.form2 |= kRelu;
  if (d.op.Take("NaN")) d.in.form2 |= kNanWins;
  const bool pair = BytesOf(type) == 4;
  d.in.run = half ? (pair ? Pair<Half> : Single<Half>) : (pair ? Pair<Bfloat> : Single<Bfloat>);
  SameWidthOperands(d, type, Sources(operation));
  for (std::size_t i = d.in.num_src; i < 3; ++i) d.in.src[i] = d.in.src[0];
  return true;
}

}  // namespace sequela::ptx
