// Whether bytes are UTF-8 text.
#pragma once

#include <string_view>

namespace sequela {

// As the Unicode standard defines it: shortest forms only, no surrogates, up to U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace sequela
