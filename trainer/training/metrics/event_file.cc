#include "trainer/training/metrics/event_file.h"

#include <bit>
#include <cstring>
#include <optional>

#include "kernels/base/crc32c.h"

namespace sequela {
namespace {

static_assert(std::endian::native == std::endian::little);

enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <typename T>
void PutRaw(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void PutVarint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void PutTag(std::string& out, int field, Wire wire) {
  PutVarint(out, static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire));
}

void PutBytes(std::string& out, int field, std::string_view bytes) {
  PutTag(out, field, Wire::kBytes);
  PutVarint(out, bytes.size());
  out += bytes;
}

std::uint32_t MaskedCrc(std::string_view bytes) {
  return std::rotr(Crc32c(bytes.data(), bytes.size()), 15) + 0xa282ead8U;
}

std::string Framed(std::string_view event) {
  std::string record;
  PutRaw(record, static_cast<std::uint64_t>(event.size()));
  PutRaw(record, MaskedCrc(record));
  record += event;
  PutRaw(record, MaskedCrc(event));
  return record;
}

std::string EventStart(double wall_time_seconds) {
  std::string event;
  PutTag(event, 1, Wire::kFixed64);
  PutRaw(event, wall_time_seconds);
  return event;
}

template <typename T>
T GetRaw(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

constexpr std::size_t kFrameHead = 12;  // length and its CRC
constexpr std::size_t kFrameTail = 4;

// The event of the record at `offset`, or nothing where it is damaged or unfinished.
std::optional<std::string_view> EventAt(std::string_view bytes, std::size_t offset) {
  if (bytes.size() - offset < kFrameHead + kFrameTail) return std::nullopt;
  const auto length = GetRaw<std::uint64_t>(bytes, offset);
  if (MaskedCrc(bytes.substr(offset, 8)) != GetRaw<std::uint32_t>(bytes, offset + 8) ||
      length > bytes.size() - offset - kFrameHead - kFrameTail) {
    return std::nullopt;
  }
  const std::string_view event = bytes.substr(offset + kFrameHead, length);
  if (MaskedCrc(event) != GetRaw<std::uint32_t>(bytes, offset + kFrameHead + length)) {
    return std::nullopt;
  }
  return event;
}

// The step of an event that EventStart began: it follows the wall time, where there is one.
std::int64_t StepOf(std::string_view event) {
  constexpr std::size_t kStepAt = 9;
  if (event.size() <= kStepAt || event[kStepAt] != (2 << 3)) return 0;
  std::uint64_t step = 0;
  int shift = 0;
  for (std::size_t i = kStepAt + 1; i < event.size() && shift < 64; ++i, shift += 7) {
    const auto byte = static_cast<unsigned char>(event[i]);
    step |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) break;
  }
  return static_cast<std::int64_t>(step);
}

}  // namespace

std::string EventFileHeader(double wall_time_seconds) {
  std::string event = EventStart(wall_time_seconds);
  PutBytes(event, 3, "brain.Event:2");
  return Framed(event);
}

std::string EventRecord(double wall_time_seconds, std::int64_t step,
                        std::span<const Scalar> scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    PutBytes(value, 1, tag);
    PutTag(value, 2, Wire::kFixed32);
    PutRaw(value, static_cast<float>(number));
    PutBytes(summary, 1, value);
  }
  std::string event = EventStart(wall_time_seconds);
  PutTag(event, 2, Wire::kVarint);
  PutVarint(event, static_cast<std::uint64_t>(step));
  PutBytes(event, 5, summary);
  return Framed(event);
}

std::int64_t EventBytesUpTo(std::string_view file_bytes, std::int64_t last_step) {
  std::size_t offset = 0;
  while (const auto event = EventAt(file_bytes, offset)) {
    if (StepOf(*event) > last_step) break;
    offset += kFrameHead + event->size() + kFrameTail;
  }
  return static_cast<std::int64_t>(offset);
}

}  // namespace sequela
