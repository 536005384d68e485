// Numbers as people read and write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sequela {

// "64MiB", "1GiB", "500MB", "1073741824". Throws InputError naming the option.
std::int64_t ParseBytes(std::string_view option, std::string_view text);
// "1.5 GiB"
std::string FormatBytes(std::int64_t bytes);
// "1,234,567"
std::string Grouped(std::int64_t number);

}  // namespace sequela
