// Text that comes from data, made safe to show.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sequela {

// `text` for a message or a table: what a terminal takes for a command, what changes the direction
// of writing, line breaks and bytes that are not UTF-8 are written out ("\x1b", "\u202e"), so that
// the result is one line of valid UTF-8. Longer than `most_bytes`: cut at a character, with "...".
std::string Printable(std::string_view text, std::size_t most_bytes = 200);

// The same for a text of several lines, which it keeps, of any length.
std::string PrintableLines(std::string_view text);

}  // namespace sequela
