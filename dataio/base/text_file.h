// Text files that people write or export: settings, lists of codes and subjects.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace sequela {

// The text without the byte order mark that some programs put before it. Throws InputError naming
// `file` and the line where it is not UTF-8.
std::string_view TextWithoutMark(std::string_view bytes, const std::filesystem::path& file);

// The whole file likewise. Throws InputError where it is no regular file or cannot be read.
std::string ReadTextFile(const std::filesystem::path& file);

}  // namespace sequela
