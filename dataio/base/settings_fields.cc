#include <fmt/format.h>

#include "dataio/base/settings_reader.h"

namespace sequela {

SettingsFields Joined(SettingsFields first, const SettingsFields& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::string SectionsText(const std::vector<SettingsSection>& sections) {
  std::string text;
  for (const SettingsSection& section : sections) {
    text += fmt::format("{}{}:\n\n| key | meaning |\n|---|---|\n", text.empty() ? "" : "\n",
                        section.title);
    for (const SettingsField& field : section.fields) {
      text += fmt::format("| `{}` | {} |\n", field.name, field.meaning);
    }
  }
  return text;
}

}  // namespace sequela
