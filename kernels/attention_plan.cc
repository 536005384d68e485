#include "kernels/attention_plan.h"

#include <algorithm>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

void CheckIntervals(std::span<const std::int32_t> document_begin,
                    std::span<const std::int32_t> kv_begin, std::span<const std::int32_t> kv_end) {
  SEQUELA_CHECK(!document_begin.empty() && document_begin.front() == 0);
  SEQUELA_CHECK(document_begin.back() == std::ssize(kv_begin) && kv_begin.size() == kv_end.size());
  for (std::size_t document = 0; document + 1 < document_begin.size(); ++document) {
    const std::int32_t begin = document_begin[document], end = document_begin[document + 1];
    SEQUELA_CHECK(begin <= end && end <= std::ssize(kv_begin), "document {} is [{}, {}) of {} rows",
                  document, begin, end, kv_begin.size());
    for (std::int32_t row = begin; row < end; ++row) {
      const auto i = static_cast<std::size_t>(row);
      const bool empty = kv_begin[i] == kv_end[i];
      SEQUELA_CHECK(kv_begin[i] >= begin && kv_end[i] >= kv_begin[i] && kv_end[i] <= row + 1,
                    "row {} of document [{}, {}) sees [{}, {})", row, begin, end, kv_begin[i],
                    kv_end[i]);
      SEQUELA_CHECK(row == begin || (kv_begin[i] >= kv_begin[i - 1] && kv_end[i] >= kv_end[i - 1]),
                    "row {} sees [{}, {}) after [{}, {}){}", row, kv_begin[i], kv_end[i],
                    kv_begin[i - 1], kv_end[i - 1], empty ? " (empty)" : "");
    }
  }
}

struct Costed {
  std::int64_t cost = 0;
  AttentionWorkItem item;
};

std::vector<AttentionWorkItem> DearestFirst(std::vector<Costed> costed) {
  std::ranges::stable_sort(costed,
                           [](const Costed& a, const Costed& b) { return a.cost > b.cost; });
  std::vector<AttentionWorkItem> items;
  items.reserve(costed.size());
  for (const Costed& c : costed) items.push_back(c.item);
  return items;
}

}  // namespace

AttentionPlan AttentionPlan::Causal(std::span<const std::int32_t> document_begin,
                                    std::span<const std::int64_t> document_ids) {
  SEQUELA_CHECK(!document_begin.empty());
  std::vector<std::int32_t> kv_begin(static_cast<std::size_t>(document_begin.back()));
  std::vector<std::int32_t> kv_end(kv_begin.size());
  for (std::size_t document = 0; document + 1 < document_begin.size(); ++document) {
    for (std::int32_t row = document_begin[document]; row < document_begin[document + 1]; ++row) {
      kv_begin[static_cast<std::size_t>(row)] = document_begin[document];
      kv_end[static_cast<std::size_t>(row)] = row + 1;
    }
  }
  return FromIntervals(document_begin, kv_begin, kv_end, document_ids);
}

AttentionPlan AttentionPlan::FromIntervals(std::span<const std::int32_t> document_begin,
                                           std::span<const std::int32_t> kv_begin,
                                           std::span<const std::int32_t> kv_end,
                                           std::span<const std::int64_t> document_ids) {
  CheckIntervals(document_begin, kv_begin, kv_end);
  const std::size_t documents = document_begin.size() - 1;
  SEQUELA_CHECK(document_ids.empty() || document_ids.size() == documents);
  AttentionPlan plan;
  plan.document_begin_.assign(document_begin.begin(), document_begin.end());
  plan.kv_begin_.assign(kv_begin.begin(), kv_begin.end());
  plan.kv_end_.assign(kv_end.begin(), kv_end.end());
  plan.document_ids_.assign(document_ids.begin(), document_ids.end());
  if (document_ids.empty()) {
    for (std::size_t i = 0; i < documents; ++i) {
      plan.document_ids_.push_back(static_cast<std::int64_t>(i));
    }
  }
  plan.BuildItems();
  return plan;
}

void AttentionPlan::BuildItems() {
  std::vector<Costed> forward, backward;
  for (std::size_t document = 0; document + 1 < document_begin_.size(); ++document) {
    const std::int32_t begin = document_begin_[document], end = document_begin_[document + 1];
    longest_document_ = std::max<std::int64_t>(longest_document_, end - begin);
    if (begin == end) continue;
    const auto piece = [&](std::int32_t first, std::int32_t last) {
      Costed result;
      // Rows cost something even where they see nothing: their output is written.
      result.cost = last - first;
      for (std::int32_t row = first; row < last; ++row) {
        const auto i = static_cast<std::size_t>(row);
        result.cost += kv_end_[i] - kv_begin_[i];
      }
      result.item = {narrow<std::int32_t>(document), first, last - first,
                     kv_begin_[static_cast<std::size_t>(first)],
                     kv_end_[static_cast<std::size_t>(last - 1)]};
      return result;
    };
    backward.push_back(piece(begin, end));
    num_pairs_ += backward.back().cost - (end - begin);
    for (std::int32_t first = begin; first < end; first += kForwardRows) {
      forward.push_back(piece(first, std::min(end, first + kForwardRows)));
    }
  }
  forward_items_ = DearestFirst(std::move(forward));
  backward_items_ = DearestFirst(std::move(backward));
}

}  // namespace sequela
