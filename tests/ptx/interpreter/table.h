// Tables of figures that are kept with the sources and compared with what was built:
//   # a comment
//   name   figure figure ...   # a reason, which a refresh keeps
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/base/check.h"

namespace sequela::testing {

struct TableLine {
  std::vector<std::int64_t> figures;
  std::string reason;  // empty: none given
  bool operator==(const TableLine&) const = default;
};

struct Table {
  std::string head;  // the comments before the first line
  std::map<std::string, TableLine> lines;
};

// Throws where a line has not `figures` figures or a name comes twice.
inline Table ParseTable(std::istream& text, std::size_t figures) {
  Table table;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with('#') && table.lines.empty()) table.head += line + "\n";
    const std::size_t comment = line.find('#');
    std::istringstream words(line.substr(0, comment));
    std::string name;
    if (!(words >> name)) continue;
    TableLine entry;
    for (std::int64_t figure = 0; words >> figure;) entry.figures.push_back(figure);
    SEQUELA_CHECK(words.eof() && entry.figures.size() == figures, "'{}': {} figures are expected",
                  line, figures);
    if (comment != std::string::npos) {
      entry.reason = line.substr(line.find_first_not_of("# ", comment));
    }
    SEQUELA_CHECK(table.lines.emplace(name, entry).second, "{} stands there twice", name);
  }
  return table;
}

inline std::string Print(const std::string& name, const TableLine& line) {
  std::string text = fmt::format("{:<48}", name);
  for (const std::int64_t figure : line.figures) text += fmt::format(" {:>10}", figure);
  return line.reason.empty() ? text : text + "  # " + line.reason;
}

inline Table ReadTable(const std::string& path, std::size_t figures) {
  std::ifstream file(path);
  SEQUELA_CHECK(file.good(), "{} cannot be read", path);
  return ParseTable(file, figures);
}

// Writes the present figures in place of the table's, with its head and its reasons.
inline void RefreshTable(const std::string& path, const Table& old,
                         const std::map<std::string, TableLine>& present) {
  std::ofstream file(path);
  file << old.head;
  for (const auto& [name, line] : present) {
    const auto known = old.lines.find(name);
    file << Print(name, {line.figures, known == old.lines.end() ? "" : known->second.reason})
         << "\n";
  }
  SEQUELA_CHECK(file.flush().good(), "{} cannot be written", path);
}

// Whether this run is to refresh tables rather than to hold them: SEQUELA_REFRESH=1.
inline bool Refreshing() { return std::getenv("SEQUELA_REFRESH") != nullptr; }

}  // namespace sequela::testing
