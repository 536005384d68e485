// What a rare code may become instead, in order of preference: a parent code, the code shortened
// within its coding system, ever shorter `//` prefixes. [UNK] is what is left. Safe for concurrent
// use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/pattern.h"
#include "dataio/ingest/ingest_settings.h"

namespace sequela {

struct Fallback {
  std::string text;    // of the token
  std::string shared;  // what its codes share: TokenEntry::code
};

class FallbackRules {
 public:
  explicit FallbackRules(const IngestSettings& settings);

  // parents "PARENT//p", shortened codes "ICD10CM//E11*", prefixes "LAB//*".
  std::vector<Fallback> Of(const std::string& code, const std::vector<std::string>& parents) const;
  // Static facts: prefixes alone, "STATIC//RACE//*".
  std::vector<Fallback> OfStatic(const std::string& code) const;

 private:
  struct Truncation {
    Pattern pattern;
    std::vector<int> lengths;
  };
  bool use_parents_;
  std::vector<Truncation> truncations_;
};

// Which kind of fallback a token is, by its text: "parent", "truncation" or "prefix".
std::string_view FallbackKind(std::string_view token_text);

}  // namespace sequela
