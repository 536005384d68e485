#include "runtime/gpu_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <sstream>
#include <utility>

#include "runtime/device.h"

namespace sequela {
namespace {

// One line for the host, one for the local rank, one for each GPU.
std::string ToText(const RankGpus& gpus) {
  std::string text = fmt::format("{}\n{}\n", gpus.host, gpus.local_rank);
  for (const std::string& id : gpus.ids) text += id + "\n";
  return text;
}

RankGpus FromText(const std::string& text) {
  RankGpus gpus;
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, gpus.host);
  std::getline(lines, line);
  gpus.local_rank = std::stoi(line);
  while (std::getline(lines, line)) gpus.ids.push_back(line);
  return gpus;
}

}  // namespace

GpuChoice ChooseGpus(std::span<const RankGpus> ranks) {
  GpuChoice choice;
  if (std::all_of(ranks.begin(), ranks.end(), [](const RankGpus& r) { return r.ids.empty(); })) {
    return choice;
  }
  std::set<std::pair<std::string, std::string>> taken;  // host, id
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankGpus& gpus = ranks[rank];
    std::vector<std::size_t> order(gpus.ids.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto own = static_cast<std::size_t>(gpus.local_rank);
    if (own < order.size()) std::swap(order[0], order[own]);
    const auto found = std::find_if(order.begin(), order.end(), [&](std::size_t i) {
      return !taken.contains({gpus.host, gpus.ids[i]});
    });
    if (found == order.end()) {
      return {{},
              fmt::format("rank {} on {} sees {}", rank, gpus.host,
                          gpus.ids.empty() ? "no GPU, other ranks do"
                                           : "only GPUs that other ranks have taken")};
    }
    taken.insert({gpus.host, gpus.ids[*found]});
    choice.indices.push_back(static_cast<int>(*found));
  }
  return choice;
}

GpuChoice ChooseGpus(World& world) {
  const RankGpus mine{world.host(), world.local_rank(), CudaDeviceIds()};
  std::vector<RankGpus> ranks;
  for (const std::string& text : world.communicator().AllGatherText(ToText(mine))) {
    ranks.push_back(FromText(text));
  }
  return ChooseGpus(ranks);
}

}  // namespace sequela
