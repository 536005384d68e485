// Writing safetensors files (safetensors.h reads them).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "runtime/safetensors.h"

namespace sequela {

// What was written, for whoever lists the file.
struct WrittenFile {
  std::string name;  // without folder
  std::int64_t size_bytes = 0;
  std::uint32_t crc32c = 0;
};

// Writes and syncs a file of these tensors, in this order. The data begin at a multiple of 8 bytes.
// The file takes its name at once: a caller that must not be seen half-done writes into a partial
// folder. Throws MachineError naming file and reason: disk full, no permission.
WrittenFile WriteSafetensors(const std::filesystem::path& path,
                             std::span<const SafetensorsEntry> entries,
                             const SafetensorsMetadata& metadata = {});

// The same for a text.
WrittenFile WriteText(const std::filesystem::path& path, std::string_view text);

}  // namespace sequela
