// ctest: labels=ptx
// Integer arithmetic, shifts, fields and comparisons against the manual's definitions.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

const std::vector<std::uint64_t> kEdges = {0,
                                           1,
                                           2,
                                           7,
                                           31,
                                           32,
                                           33,
                                           0x7fff,
                                           0x8000,
                                           0xffff,
                                           0x7fffffff,
                                           0x80000000,
                                           0x80000001,
                                           0xfffffffe,
                                           0xffffffff,
                                           0xdeadbeef,
                                           0x100000000,
                                           0x7fffffffffffffff,
                                           0x8000000000000000,
                                           0xffffffffffffffff,
                                           0x0123456789abcdef};

Rows WithoutZeroDivisors(std::uint64_t mask) {
  Rows rows = Pairs(kEdges);
  std::erase_if(rows, [mask](const Operands& o) { return (o[1] & mask) == 0; });
  return rows;
}

// `T` as a wider integer in which nothing overflows.
__extension__ using Wide = __int128;
__extension__ using Bits128 = unsigned __int128;

Wide Product(Wide a, Wide b) { return static_cast<Wide>(Bits128(a) * Bits128(b)); }

template <typename T>
void ExpectArithmetic(const std::string& type, const std::string& q, const std::string& r) {
  const Rows rows = Pairs(kEdges);
  const std::string ab = fmt::format(" %{}q, %{}0, %{}1;", q, r, r);
  const std::string abc = fmt::format(" %{}q, %{}0, %{}1, %{}2;", q, r, r, r);
  const auto wrapped = [](auto op) {
    return [op](const Operands& o) {
      return Result(static_cast<T>(op(Wide{As<T>(o[0])}, Wide{As<T>(o[1])}, Wide{As<T>(o[2])})));
    };
  };
  constexpr int kBits = sizeof(T) * 8;
  ExpectAll("add." + type + ab, rows, wrapped([](Wide a, Wide b, Wide) { return a + b; }));
  ExpectAll("sub." + type + ab, rows, wrapped([](Wide a, Wide b, Wide) { return a - b; }));
  ExpectAll("mul.lo." + type + ab, rows,
            wrapped([](Wide a, Wide b, Wide) { return Product(a, b); }));
  ExpectAll("mul.hi." + type + ab, rows,
            wrapped([](Wide a, Wide b, Wide) { return Product(a, b) >> kBits; }));
  ExpectAll("mad.lo." + type + abc, rows, wrapped([](Wide a, Wide b, Wide c) {
              return Wide(Bits128(Product(a, b)) + Bits128(c));
            }));
  ExpectAll("min." + type + ab, rows, wrapped([](Wide a, Wide b, Wide) { return std::min(a, b); }));
  ExpectAll("max." + type + ab, rows, wrapped([](Wide a, Wide b, Wide) { return std::max(a, b); }));
  const Rows divisible = WithoutZeroDivisors(Result(static_cast<T>(-1)));
  // Truncated towards zero; the least number by -1 wraps to itself.
  ExpectAll("div." + type + ab, divisible, wrapped([](Wide a, Wide b, Wide) { return a / b; }));
  ExpectAll("rem." + type + ab, divisible, wrapped([](Wide a, Wide b, Wide) { return a % b; }));
}

TEST(IntegerTest, ArithmeticOf16Bits) {
  ExpectArithmetic<std::int16_t>("s16", "h", "h");
  ExpectArithmetic<std::uint16_t>("u16", "h", "h");
}
TEST(IntegerTest, ArithmeticOf32Bits) {
  ExpectArithmetic<std::int32_t>("s32", "r", "r");
  ExpectArithmetic<std::uint32_t>("u32", "r", "r");
}
TEST(IntegerTest, ArithmeticOf64Bits) {
  ExpectArithmetic<std::int64_t>("s64", "d", "d");
  ExpectArithmetic<std::uint64_t>("u64", "d", "d");
}

TEST(IntegerTest, WideProducts) {
  const Rows rows = Pairs(kEdges);
  ExpectAll("mul.wide.s16 %rq, %h0, %h1;", rows, [](const Operands& o) {
    return Result(As<std::int16_t>(o[0]) * As<std::int16_t>(o[1]));
  });
  ExpectAll("mul.wide.u16 %rq, %h0, %h1;", rows, [](const Operands& o) {
    return Result(std::uint32_t{As<std::uint16_t>(o[0])} * As<std::uint16_t>(o[1]));
  });
  ExpectAll("mul.wide.s32 %dq, %r0, %r1;", rows, [](const Operands& o) {
    return Result(std::int64_t{As<std::int32_t>(o[0])} * As<std::int32_t>(o[1]));
  });
  ExpectAll("mul.wide.u32 %dq, %r0, %r1;", rows, [](const Operands& o) {
    return std::uint64_t{As<std::uint32_t>(o[0])} * As<std::uint32_t>(o[1]);
  });
  ExpectAll("mad.wide.s32 %dq, %r0, %r1, %d2;", rows, [](const Operands& o) {
    return Result(std::int64_t{As<std::int32_t>(o[0])} * As<std::int32_t>(o[1])) + o[2];
  });
  ExpectAll("mad.wide.u32 %dq, %r0, %r1, %d2;", rows, [](const Operands& o) {
    return std::uint64_t{As<std::uint32_t>(o[0])} * As<std::uint32_t>(o[1]) + o[2];
  });
  ExpectAll("mad.hi.u32 %rq, %r0, %r1, %r2;", rows, [](const Operands& o) {
    const std::uint64_t product = std::uint64_t{As<std::uint32_t>(o[0])} * As<std::uint32_t>(o[1]);
    return Result(static_cast<std::uint32_t>((product >> 32) + o[2]));
  });
}

TEST(IntegerTest, DivisionByZeroLeavesTheProcessAlive) {
  for (const char* body : {"div.s32 %rq, %r0, %r1;", "rem.u64 %dq, %d0, %d1;"}) {
    try {
      Evaluate(body, {{5, 0, 0}});  // an unspecified value, or a fault of the kernel's
    } catch (const std::exception&) {
    }
  }
}

TEST(IntegerTest, OfOneOperand) {
  const Rows rows = Pairs(kEdges);
  ExpectAll("neg.s32 %rq, %r0;", rows,
            [](const Operands& o) { return Result(0U - As<std::uint32_t>(o[0])); });
  ExpectAll("neg.s64 %dq, %d0;", rows, [](const Operands& o) { return 0 - o[0]; });
  ExpectAll("abs.s32 %rq, %r0;", rows, [](const Operands& o) {
    const auto a = As<std::uint32_t>(o[0]);
    return Result((a >> 31) != 0 ? 0U - a : a);  // the least number stays
  });
  ExpectAll("abs.s64 %dq, %d0;", rows,
            [](const Operands& o) { return (o[0] >> 63) != 0 ? 0 - o[0] : o[0]; });
  ExpectAll("popc.b32 %rq, %r0;", rows,
            [](const Operands& o) { return Result(std::popcount(As<std::uint32_t>(o[0]))); });
  ExpectAll("popc.b64 %rq, %d0;", rows,
            [](const Operands& o) { return Result(std::popcount(o[0])); });
  ExpectAll("clz.b32 %rq, %r0;", rows,
            [](const Operands& o) { return Result(std::countl_zero(As<std::uint32_t>(o[0]))); });
  ExpectAll("clz.b64 %rq, %d0;", rows,
            [](const Operands& o) { return Result(std::countl_zero(o[0])); });
  ExpectAll("brev.b32 %rq, %r0;", rows, [](const Operands& o) {
    std::uint64_t reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= ((o[0] >> i) & 1) << (31 - i);
    return reversed;
  });
  ExpectAll("bfind.u32 %rq, %r0;", rows, [](const Operands& o) {  // -1 where there is none
    return Result(31U - std::countl_zero(As<std::uint32_t>(o[0])));
  });
  ExpectAll("not.b32 %rq, %r0;", rows,
            [](const Operands& o) { return Result(~As<std::uint32_t>(o[0])); });
  ExpectAll("not.b64 %dq, %d0;", rows, [](const Operands& o) { return ~o[0]; });
  ExpectAll("not.b16 %hq, %h0;", rows,
            [](const Operands& o) { return Result(static_cast<std::uint16_t>(~o[0])); });
}

TEST(IntegerTest, Logic) {
  const Rows rows = Pairs(kEdges);
  ExpectAll("and.b32 %rq, %r0, %r1;", rows,
            [](const Operands& o) { return Result(As<std::uint32_t>(o[0] & o[1])); });
  ExpectAll("or.b32 %rq, %r0, %r1;", rows,
            [](const Operands& o) { return Result(As<std::uint32_t>(o[0] | o[1])); });
  ExpectAll("xor.b32 %rq, %r0, %r1;", rows,
            [](const Operands& o) { return Result(As<std::uint32_t>(o[0] ^ o[1])); });
  ExpectAll("and.b64 %dq, %d0, %d1;", rows, [](const Operands& o) { return o[0] & o[1]; });
  ExpectAll("or.b16 %hq, %h0, %h1;", rows,
            [](const Operands& o) { return Result(As<std::uint16_t>(o[0] | o[1])); });
  // The table's bit abc, for each of a few tables.
  for (const std::uint32_t table : {0x00U, 0xc0U, 0xfeU, 0x96U, 0xe8U, 0x1bU, 0xffU}) {
    ExpectAll(fmt::format("lop3.b32 %rq, %r0, %r1, %r2, {};", table), rows,
              [table](const Operands& o) {
                std::uint64_t result = 0;
                for (int i = 0; i < 32; ++i) {
                  const std::uint64_t index =
                      ((o[0] >> i & 1) << 2) | ((o[1] >> i & 1) << 1) | (o[2] >> i & 1);
                  result |= std::uint64_t{table >> index & 1} << i;
                }
                return result;
              });
  }
}

TEST(IntegerTest, LogicOfPredicates) {
  const Rows rows = Pairs({0, 1});
  const std::string ps = "setp.ne.u32 %p0, %r0, 0;\nsetp.ne.u32 %p1, %r1, 0;\n";
  ExpectAll(ps + "and.pred %pq, %p0, %p1;", rows, [](const Operands& o) { return o[0] & o[1]; });
  ExpectAll(ps + "or.pred %pq, %p0, %p1;", rows, [](const Operands& o) { return o[0] | o[1]; });
  ExpectAll(ps + "xor.pred %pq, %p0, %p1;", rows, [](const Operands& o) { return o[0] ^ o[1]; });
  ExpectAll(ps + "not.pred %pq, %p0;", rows, [](const Operands& o) { return o[0] ^ 1; });
  ExpectAll(ps + "mov.pred %pq, %p1;", rows, [](const Operands& o) { return o[1]; });
}

// Shifts by the width or more give 0, or the sign: the amount is clamped, not wrapped.
TEST(IntegerTest, Shifts) {
  const Rows rows = Pairs(kEdges);
  const auto amount = [](const Operands& o) { return As<std::uint32_t>(o[1]); };
  ExpectAll("shl.b32 %rq, %r0, %r1;", rows, [&](const Operands& o) {
    return amount(o) > 31 ? 0 : Result(As<std::uint32_t>(o[0]) << amount(o));
  });
  ExpectAll("shl.b64 %dq, %d0, %r1;", rows,
            [&](const Operands& o) { return amount(o) > 63 ? 0 : o[0] << amount(o); });
  ExpectAll("shl.b16 %hq, %h0, %r1;", rows, [&](const Operands& o) {
    return amount(o) > 15 ? 0 : Result(static_cast<std::uint16_t>(o[0] << amount(o)));
  });
  ExpectAll("shr.u32 %rq, %r0, %r1;", rows, [&](const Operands& o) {
    return amount(o) > 31 ? 0 : Result(As<std::uint32_t>(o[0]) >> amount(o));
  });
  ExpectAll("shr.u64 %dq, %d0, %r1;", rows,
            [&](const Operands& o) { return amount(o) > 63 ? 0 : o[0] >> amount(o); });
  ExpectAll("shr.s32 %rq, %r0, %r1;", rows, [&](const Operands& o) {
    return Result(As<std::int32_t>(o[0]) >> std::min(amount(o), 31U));
  });
  ExpectAll("shr.s64 %dq, %d0, %r1;", rows, [&](const Operands& o) {
    return Result(As<std::int64_t>(o[0]) >> std::min(amount(o), 63U));
  });
  ExpectAll("shr.u16 %hq, %h0, %r1;", rows, [&](const Operands& o) {
    return amount(o) > 15
               ? 0
               : Result(static_cast<std::uint16_t>(As<std::uint16_t>(o[0]) >> amount(o)));
  });
  ExpectAll("shr.s16 %hq, %h0, %r1;", rows, [&](const Operands& o) {
    return Result(static_cast<std::int16_t>(As<std::int16_t>(o[0]) >> std::min(amount(o), 15U)));
  });
}

// A window of 32 bits on b:a, moved by c.
TEST(IntegerTest, FunnelShifts) {
  Rows rows;
  for (const std::uint64_t c : {0, 1, 4, 16, 31, 32, 33, 63, 64, 0x7fffffff}) {
    rows.push_back({0x89abcdef, 0x01234567, c});
    rows.push_back({0xffffffff, 0x80000000, c});
  }
  const auto pair = [](const Operands& o) { return o[1] << 32 | As<std::uint32_t>(o[0]); };
  for (const bool wrap : {true, false}) {
    const std::string mode = wrap ? "wrap" : "clamp";
    const auto amount = [wrap](const Operands& o) {
      return wrap ? o[2] & 31 : std::min<std::uint64_t>(As<std::uint32_t>(o[2]), 32);
    };
    ExpectAll("shf.l." + mode + ".b32 %rq, %r0, %r1, %r2;", rows,
              [&](const Operands& o) { return (pair(o) << amount(o)) >> 32; });
    ExpectAll("shf.r." + mode + ".b32 %rq, %r0, %r1, %r2;", rows,
              [&](const Operands& o) { return Result(As<std::uint32_t>(pair(o) >> amount(o))); });
  }
}

// Position and length are the low 8 bits of b and c.
Rows Fields() {
  Rows rows;
  for (const std::uint64_t value : {0x89abcdefULL, 0x7fffffffULL, 0xfedcba9876543210ULL}) {
    for (const std::uint64_t position : {0, 1, 7, 31, 32, 40, 63, 64, 255, 256}) {
      for (const std::uint64_t length : {0, 1, 5, 31, 32, 33, 64, 255, 257}) {
        rows.push_back({value, position, length});
      }
    }
  }
  return rows;
}

template <typename T>
std::uint64_t Extracted(const Operands& o) {
  constexpr std::uint64_t kMsb = sizeof(T) * 8 - 1;
  const std::uint64_t position = o[1] & 0xff;
  const std::uint64_t length = o[2] & 0xff;
  const auto bit = [&](std::uint64_t i) { return o[0] >> std::min(i, kMsb) & 1; };
  std::uint64_t sign = 0;
  if (std::is_signed_v<T> && length > 0) sign = bit(position + length - 1);
  std::uint64_t field = 0;
  for (std::uint64_t i = 0; i <= kMsb; ++i) {
    field |= (i < length && position + i <= kMsb ? bit(position + i) : sign) << i;
  }
  return field;
}

TEST(IntegerTest, FieldsAreExtracted) {
  ExpectAll("bfe.u32 %rq, %r0, %r1, %r2;", Fields(), Extracted<std::uint32_t>);
  ExpectAll("bfe.s32 %rq, %r0, %r1, %r2;", Fields(), Extracted<std::int32_t>);
  ExpectAll("bfe.u64 %dq, %d0, %r1, %r2;", Fields(), Extracted<std::uint64_t>);
  ExpectAll("bfe.s64 %dq, %d0, %r1, %r2;", Fields(), Extracted<std::int64_t>);
}

TEST(IntegerTest, FieldsAreInserted) {
  ExpectAll("bfi.b32 %rq, %r0, 0x55555555, %r1, %r2;", Fields(), [](const Operands& o) {
    std::uint64_t result = 0x55555555;
    const std::uint64_t position = o[1] & 0xff;
    for (std::uint64_t i = 0; i < (o[2] & 0xff) && position + i < 32; ++i) {
      result &= ~(1ULL << (position + i));
      result |= (o[0] >> i & 1) << (position + i);
    }
    return result;
  });
}

// Each nibble of c picks a byte of b:a; its high bit spreads that byte's sign.
TEST(IntegerTest, BytesArePermuted) {
  Rows rows;
  for (const std::uint32_t pick :
       {0x3210U, 0x7654U, 0x5410U, 0x6420U, 0xba98U, 0xfedcU, 0x0000U, 0xffff3254U}) {
    rows.push_back({0x80c1427f, 0x01fe8344, pick});
  }
  ExpectAll("prmt.b32 %rq, %r0, %r1, %r2;", rows, [](const Operands& o) {
    const std::uint64_t bytes = o[1] << 32 | As<std::uint32_t>(o[0]);
    std::uint64_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t pick = o[2] >> (4 * i) & 0xf;
      std::uint64_t byte = bytes >> (8 * (pick & 7)) & 0xff;
      if ((pick & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
      result |= byte << (8 * i);
    }
    return result;
  });
}

TEST(IntegerTest, Comparisons) {
  const Rows rows = Pairs(kEdges);
  const auto compare = [&](const std::string& op, auto holds) {
    ExpectAll("setp." + op + ".s32 %pq, %r0, %r1;", rows, [holds](const Operands& o) {
      return std::uint64_t{holds(Wide{As<std::int32_t>(o[0])}, Wide{As<std::int32_t>(o[1])})};
    });
    ExpectAll("setp." + op + ".u32 %pq, %r0, %r1;", rows, [holds](const Operands& o) {
      return std::uint64_t{holds(Wide{As<std::uint32_t>(o[0])}, Wide{As<std::uint32_t>(o[1])})};
    });
    ExpectAll("setp." + op + ".s64 %pq, %d0, %d1;", rows, [holds](const Operands& o) {
      return std::uint64_t{holds(Wide{As<std::int64_t>(o[0])}, Wide{As<std::int64_t>(o[1])})};
    });
    ExpectAll("setp." + op + ".u64 %pq, %d0, %d1;", rows,
              [holds](const Operands& o) { return std::uint64_t{holds(Wide{o[0]}, Wide{o[1]})}; });
    ExpectAll("setp." + op + ".s16 %pq, %h0, %h1;", rows, [holds](const Operands& o) {
      return std::uint64_t{holds(Wide{As<std::int16_t>(o[0])}, Wide{As<std::int16_t>(o[1])})};
    });
  };
  compare("eq", [](Wide a, Wide b) { return a == b; });
  compare("ne", [](Wide a, Wide b) { return a != b; });
  compare("lt", [](Wide a, Wide b) { return a < b; });
  compare("le", [](Wide a, Wide b) { return a <= b; });
  compare("gt", [](Wide a, Wide b) { return a > b; });
  compare("ge", [](Wide a, Wide b) { return a >= b; });
  ExpectAll("setp.lo.u32 %pq, %r0, %r1;", rows, [](const Operands& o) {
    return std::uint64_t{As<std::uint32_t>(o[0]) < As<std::uint32_t>(o[1])};
  });
  ExpectAll("setp.hs.u64 %pq, %d0, %d1;", rows,
            [](const Operands& o) { return std::uint64_t{o[0] >= o[1]}; });
}

TEST(IntegerTest, ComparisonsCombinedWithAPredicate) {
  const Rows rows = Pairs({0, 1});
  const std::string p = "setp.ne.u32 %p0, %r1, 0;\n";
  ExpectAll(p + "setp.eq.and.s32 %pq, %r0, 1, %p0;", rows,
            [](const Operands& o) { return o[0] & o[1]; });
  ExpectAll(p + "setp.eq.or.s32 %pq, %r0, 1, %p0;", rows,
            [](const Operands& o) { return o[0] | o[1]; });
  ExpectAll(p + "setp.eq.xor.s32 %pq, %r0, 1, !%p0;", rows,
            [](const Operands& o) { return o[0] ^ o[1] ^ 1; });
  // The second result is of the comparison that does not hold.
  ExpectAll("setp.eq.s32 %p0|%pq, %r0, 1;", rows, [](const Operands& o) { return o[0] ^ 1; });
}

TEST(IntegerTest, Selections) {
  const Rows rows = Pairs(kEdges);
  const std::string p = "setp.lt.s32 %p0, %r2, 0;\n";
  const auto negative = [](const Operands& o) { return As<std::int32_t>(o[2]) < 0; };
  ExpectAll(p + "selp.b32 %rq, %r0, %r1, %p0;", rows, [&](const Operands& o) {
    return Result(As<std::uint32_t>(negative(o) ? o[0] : o[1]));
  });
  ExpectAll(p + "selp.b64 %dq, %d0, %d1, %p0;", rows,
            [&](const Operands& o) { return negative(o) ? o[0] : o[1]; });
  ExpectAll(p + "selp.b16 %hq, %h0, 7, %p0;", rows,
            [&](const Operands& o) { return Result(As<std::uint16_t>(negative(o) ? o[0] : 7)); });
}

TEST(IntegerTest, SelectionsBySign) {
  ExpectAll("slct.b32.s32 %rq, %r0, %r1, %r2;", Pairs(kEdges), [](const Operands& o) {
    return Result(As<std::uint32_t>(As<std::int32_t>(o[2]) >= 0 ? o[0] : o[1]));
  });
}

TEST(IntegerTest, ComparisonsAsNumbers) {
  const Rows rows = Pairs(kEdges);
  ExpectAll("set.lt.u32.s32 %rq, %r0, %r1;", rows, [](const Operands& o) {
    return As<std::int32_t>(o[0]) < As<std::int32_t>(o[1]) ? 0xffffffff : 0;
  });
  ExpectAll("set.ge.f32.u32 %rq, %r0, %r1;", rows, [](const Operands& o) {
    return As<std::uint32_t>(o[0]) >= As<std::uint32_t>(o[1]) ? Bits(1.0F) : 0;
  });
}

TEST(IntegerTest, Moves) {
  const Rows rows = Pairs(kEdges);
  ExpectAll("mov.b64 {%r3, %r4}, %d0;\nmov.b64 %dq, {%r4, %r3};", rows,
            [](const Operands& o) { return o[0] << 32 | o[0] >> 32; });
  ExpectAll("mov.b32 {%h3, %h4}, %r0;\nmov.b32 %rq, {%h4, %h3};", rows, [](const Operands& o) {
    return Result(static_cast<std::uint32_t>(o[0] << 16 | As<std::uint32_t>(o[0]) >> 16));
  });
  ExpectAll("mov.u64 %dq, 0xfedcba9876543210;", {{}},
            [](const Operands&) { return 0xfedcba9876543210; });
  ExpectAll("mov.s32 %rq, -7;", {{}}, [](const Operands&) { return Result(-7); });
  ExpectAll("mov.u32 %rq, 0b101;", {{}}, [](const Operands&) { return 5; });
}

}  // namespace
}  // namespace sequela::ptx
