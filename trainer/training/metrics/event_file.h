// TensorBoard's event files: TFRecord framing around protocol buffers, both written by hand since
// we need three messages of them.
//
// A record is: u64 length; u32 masked CRC-32C of those 8 bytes; `length` bytes; u32 masked CRC-32C
// of them; all little-endian. Masked: rotate right by 15, add 0xa282ead8. The bytes are a
// tensorflow.Event:
//   1 wall_time double, 2 step int64, 3 file_version string (first record only: "brain.Event:2"),
//   5 summary { repeated 1 value { 1 tag string, 2 simple_value float } }
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sequela {

using Scalar = std::pair<std::string_view, double>;  // tag, value

// The first record of a file, and one with the scalars of a step.
std::string EventFileHeader(double wall_time_seconds);
std::string EventRecord(double wall_time_seconds, std::int64_t step,
                        std::span<const Scalar> scalars);

// How many leading bytes of `file_bytes` are whole records of steps up to `last_step`: what a
// resume keeps. Stops at the first damaged or unfinished record.
std::int64_t EventBytesUpTo(std::string_view file_bytes, std::int64_t last_step);

}  // namespace sequela
