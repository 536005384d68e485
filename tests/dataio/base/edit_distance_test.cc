#include "dataio/base/edit_distance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace sequela {
namespace {

// The definition, without a table.
std::size_t ByDefinition(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  const std::string a_rest = a.substr(1), b_rest = b.substr(1);
  if (a[0] == b[0]) return ByDefinition(a_rest, b_rest);
  return 1 +
         std::min({ByDefinition(a_rest, b_rest), ByDefinition(a_rest, b), ByDefinition(a, b_rest)});
}

TEST(EditDistanceTest, CountsTheEditsOfKnownWords) {
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3U);  // Levenshtein's textbook pair
  EXPECT_EQ(EditDistance("trian", "train"), 2U);     // a swap is two edits
  EXPECT_EQ(EditDistance("lr", "learning_rate"), 11U);
  EXPECT_EQ(EditDistance("", "steps"), 5U);
  EXPECT_EQ(EditDistance("steps", ""), 5U);
}

// All pairs of words of up to four letters out of two.
TEST(EditDistanceTest, IsItsDefinition) {
  std::vector<std::string> words = {""};
  for (std::size_t i = 0; words[i].size() < 4; ++i) {
    for (const char letter : {'a', 'b'}) words.push_back(words[i] + letter);
  }
  ASSERT_EQ(words.size(), 31U);
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      EXPECT_EQ(EditDistance(a, b), ByDefinition(a, b)) << a << " and " << b;
    }
  }
}

}  // namespace
}  // namespace sequela
