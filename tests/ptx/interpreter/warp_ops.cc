// Exchange between the threads of a warp: shuffles, votes, matches, reductions.
#include <array>

#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

enum Shuffle : std::uint8_t { kUp, kDown, kButterfly, kIndex };

// The thread that `lane` reads from and whether it lies within the bounds that c sets.
struct Source {
  std::uint32_t lane;
  bool within;
};
Source SourceOf(Shuffle mode, std::uint32_t lane, std::uint32_t b, std::uint32_t c) {
  const std::uint32_t by = b & 31U;
  const std::uint32_t clamp = c & 31U;
  const std::uint32_t segment = c >> 8 & 31U;
  const std::uint32_t least = lane & segment;
  const std::uint32_t most = least | (clamp & ~segment);
  std::uint32_t from = lane;
  bool within = false;
  switch (mode) {
    case kUp:
      from = lane - by;
      within = static_cast<std::int32_t>(from) >= static_cast<std::int32_t>(most);
      break;
    case kDown:
      from = lane + by;
      within = from <= most;
      break;
    case kButterfly:
      from = lane ^ by;
      within = from <= most;
      break;
    case kIndex:
      from = least | (by & ~segment);
      within = from <= most;
      break;
  }
  return {within ? from : lane, within};
}

// src: a, b, c, membermask. dst: the value and perhaps the predicate. in.form: the Shuffle.
void ShuffleLanes(Warp& warp, const Instruction& in, std::uint32_t mask) {
  std::array<std::uint32_t, kLanes> a;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    a[lane] = warp.Lanes<std::uint32_t>(in.src[0])[lane];
  }
  std::array<std::uint32_t, kLanes> result{};
  std::uint32_t within = 0;
  ForLanes(mask, [&](std::uint32_t lane) {
    const Source source =
        SourceOf(static_cast<Shuffle>(in.form), lane, warp.Lanes<std::uint32_t>(in.src[1])[lane],
                 warp.Lanes<std::uint32_t>(in.src[2])[lane]);
    if ((mask >> source.lane & 1U) == 0) {
      Fault(warp, lane, fmt::format("takes a value from lane {}, which is not there", source.lane));
    }
    result[lane] = a[source.lane];
    within |= static_cast<std::uint32_t>(source.within) << lane;
  });
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  ForLanes(mask, [&](std::uint32_t lane) { d[lane] = result[lane]; });
  if (in.num_dst == 2) {
    std::uint32_t& p = warp.Predicate(in.dst[1]);
    p = (p & ~mask) | within;
  }
}

void BuildShfl(Decoder& d) {
  if (!d.op.Take("sync")) d.Fail("only .sync is understood");
  const int mode = d.op.TakeOneOf({"up", "down", "bfly", "idx"});
  if (mode < 0 || BytesOf(d.TakeType()) != 4) d.Fail("an unknown form");
  d.in.form = static_cast<std::uint8_t>(mode);
  d.in.run = ShuffleLanes;
  d.in.control = Control::kMembers;
  const Operand& to = d.At(0);
  const bool pair = to.kind == Operand::Kind::kPair;
  d.Dst(pair ? to.elements[0] : to, 4);
  if (pair) d.Dst(to.elements[1], 1);
  for (std::size_t i = 1; i <= 4; ++i) d.Src(d.At(i), 4);
}

enum Vote : std::uint8_t { kAll, kAny, kUniform, kBallot };

// in.form2 1: the predicate is negated.
void VoteLanes(Warp& warp, const Instruction& in, std::uint32_t mask) {
  std::uint32_t yes = warp.Predicate(in.src[0]);
  if (in.form2 == 1) yes = ~yes;
  yes &= mask;
  if (in.form == kBallot) {
    auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
    ForLanes(mask, [=](std::uint32_t lane) { d[lane] = yes; });
    return;
  }
  const bool holds = in.form == kAll   ? yes == mask
                     : in.form == kAny ? yes != 0
                                       : yes == 0 || yes == mask;
  std::uint32_t& d = warp.Predicate(in.dst[0]);
  d = (d & ~mask) | (holds ? mask : 0);
}

void BuildVote(Decoder& d) {
  if (!d.op.Take("sync")) d.Fail("only .sync is understood");
  const int vote = d.op.TakeOneOf({"all", "any", "uni", "ballot"});
  if (vote < 0) d.Fail("an unknown vote");
  d.in.form = static_cast<std::uint8_t>(vote);
  d.TakeType();
  d.in.run = VoteLanes;
  d.in.control = Control::kMembers;
  d.Dst(d.At(0), vote == kBallot ? 4 : 1);
  d.in.form2 = d.At(1).negated ? 1 : 0;
  d.Src(d.At(1), 1);
  d.Src(d.At(2), 4);
}

void ActiveMask(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = mask; });
}
void BuildActiveMask(Decoder& d) {
  d.TakeType();
  d.in.run = ActiveMask;
  d.Dst(d.At(0), 4);
}

template <typename T>
void MatchAny(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto* a = warp.Lanes<T>(in.src[0]);
  std::array<std::uint32_t, kLanes> result{};
  ForLanes(mask, [&](std::uint32_t lane) {
    ForLanes(mask, [&](std::uint32_t other) {
      result[lane] |= static_cast<std::uint32_t>(a[lane] == a[other]) << other;
    });
  });
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  ForLanes(mask, [&](std::uint32_t lane) { d[lane] = result[lane]; });
}
void BuildMatch(Decoder& d) {
  if (!d.op.Take("any") || !d.op.Take("sync")) d.Fail("only match.any.sync is understood");
  const std::size_t bytes = BytesOf(d.TakeType());
  d.in.run = bytes == 4 ? MatchAny<std::uint32_t> : MatchAny<std::uint64_t>;
  d.in.control = Control::kMembers;
  d.Dst(d.At(0), 4);
  d.Src(d.At(1), bytes);
  d.Src(d.At(2), 4);
}

enum Reduction : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor };
template <typename T>
T Reduce(Reduction reduction, T a, T b) {
  switch (reduction) {
    case kAdd:
      return static_cast<T>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
    case kMin:
      return std::min(a, b);
    case kMax:
      return std::max(a, b);
    case kAnd:
      return a & b;
    case kOr:
      return a | b;
    case kXor:
      break;
  }
  return a ^ b;
}
template <typename T>
void ReduceLanes(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto* a = warp.Lanes<T>(in.src[0]);
  T total = a[__builtin_ctz(mask)];
  ForLanes(mask & (mask - 1), [&](std::uint32_t lane) {
    total = Reduce<T>(static_cast<Reduction>(in.form), total, a[lane]);
  });
  auto* d = warp.Lanes<T>(in.dst[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = total; });
}
void BuildRedux(Decoder& d) {
  if (!d.op.Take("sync")) d.Fail("only .sync is understood");
  const int reduction = d.op.TakeOneOf({"add", "min", "max", "and", "or", "xor"});
  const Type type = d.TakeType();
  if (reduction < 0 || IsFloat(type)) d.Fail("an unknown form");
  d.in.form = static_cast<std::uint8_t>(reduction);
  d.in.run = type == Type::kS32 ? ReduceLanes<std::int32_t> : ReduceLanes<std::uint32_t>;
  d.in.control = Control::kMembers;
  d.Dst(d.At(0), 4);
  d.Src(d.At(1), 4);
  d.Src(d.At(2), 4);
}

// The lowest member is elected.
void Elect(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto lowest = static_cast<std::uint32_t>(__builtin_ctz(mask));
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = lowest; });
  std::uint32_t& p = warp.Predicate(in.dst[1]);
  p = (p & ~mask) | 1U << lowest;
}
void BuildElect(Decoder& d) {
  const Operand& to = d.At(0);
  if (!d.op.Take("sync") || to.kind != Operand::Kind::kPair) d.Fail("an unknown form");
  d.in.run = Elect;
  d.in.control = Control::kMembers;
  d.Dst(to.elements[0], 4);
  d.Dst(to.elements[1], 1);
  d.Src(d.At(1), 4);
}

}  // namespace

const BuilderTable& WarpBuilders() {
  static const BuilderTable table = {
      {"shfl", BuildShfl},   {"vote", BuildVote},   {"activemask", BuildActiveMask},
      {"match", BuildMatch}, {"redux", BuildRedux}, {"elect", BuildElect}};
  return table;
}

}  // namespace sequela::ptx
