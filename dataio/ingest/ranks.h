// Which of several cooperating processes this one is, and how they tell each other what they know.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace sequela {

struct Ranks {
  int index = 0;
  int count = 1;
  // Every rank's string, by rank. Called by all ranks in the same order; empty for one rank.
  std::function<std::vector<std::string>(std::string)> exchange;

  std::vector<std::string> Exchange(std::string mine) const {
    if (count == 1) return {std::move(mine)};
    return exchange(std::move(mine));
  }
};

}  // namespace sequela
