#include <algorithm>
#include <cmath>

#include "dataio/simulator/simulator_oracle.h"
#include "kernels/base/check.h"

namespace sequela {
namespace {

constexpr std::uint64_t kFuturePurpose = HashName("simulator/future");

// Laboratory results influence nothing and are not drawn.
void DrawConditions(const LifeProcess& process, PhiloxStream* random, LifeState* state) {
  for (int f = 0; f < process.num_follow_ups(); ++f) {
    if (process.changes_conditions(f) &&
        random->NextUniform() < process.FollowUpProbability(*state, f)) {
      process.ApplyFollowUp(f, state);
    }
  }
}

}  // namespace

std::vector<RiskEstimate> RisksWithin(const LifeProcess& process, const LifeState& state,
                                      std::int64_t start_us, std::int64_t horizon_us,
                                      const std::vector<int>& outcomes, std::int64_t futures,
                                      std::uint64_t seed) {
  SEQUELA_CHECK(start_us >= state.now_us && futures > 0);
  std::vector<std::int64_t> hits(static_cast<std::size_t>(process.num_anchors()), 0);
  std::vector<char> seen(hits.size());
  for (std::int64_t future = 0; future < futures; ++future) {
    PhiloxStream random(seed, kFuturePurpose, static_cast<std::uint64_t>(future));
    std::fill(seen.begin(), seen.end(), 0);
    LifeState life = state;
    std::int64_t from = start_us;
    while (!life.ended) {
      const NextEvent next = DrawNextEvent(process, life, from, /*censored=*/false, &random);
      if (next.time_us > start_us + horizon_us) {
        break;
      }
      seen[static_cast<std::size_t>(next.anchor)] = 1;
      process.ApplyAnchor(next.anchor, next.time_us, &life);
      DrawConditions(process, &random, &life);
      from = life.now_us;
    }
    for (std::size_t a = 0; a < hits.size(); ++a) {
      hits[a] += seen[a];
    }
  }
  std::vector<RiskEstimate> risks;
  for (const int anchor : outcomes) {
    const double p =
        static_cast<double>(hits[static_cast<std::size_t>(anchor)]) / static_cast<double>(futures);
    risks.push_back({p, std::sqrt(p * (1 - p) / static_cast<double>(futures))});
  }
  return risks;
}

}  // namespace sequela
