#include "dataio/loader/window_table.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kShortestContext = 32;
// An event's tokens; a longer one (of a hostile or odd store) may be cut.
constexpr std::int64_t kLongestEvent = 8;

void CheckOptions(const WindowOptions& options) {
  if (options.context_length < kShortestContext) {
    throw InputError("data.context_length: found {}, expected at least {}", options.context_length,
                     kShortestContext);
  }
  if (options.context_overlap < 0 || options.context_overlap > options.context_length / 2) {
    throw InputError(
        "data.context_overlap: found {}, expected 0 to {}, half of "
        "data.context_length",
        options.context_overlap, options.context_length / 2);
  }
}

// Static tokens that a head shows: [BOS] and AGE included it takes at most a quarter of the window.
std::int64_t ShownStatics(const ChainHead& head, std::int64_t context_length) {
  return std::min(head.static_end, context_length / 4 - 2);
}

bool HasAge(const Vocabulary& vocabulary, const ChainHead& head) {
  return head.birth_us.has_value() && vocabulary.AgeToken(0) != Vocabulary::kNone;
}

// Whole seconds from `begin` to `end`; wraps, as no record does, rather than overflow.
std::int64_t SecondsBetween(std::int64_t begin_us, std::int64_t end_us) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(end_us) -
                                   static_cast<std::uint64_t>(begin_us)) /
         1'000'000;
}

}  // namespace

// Cuts one chain after another.
struct WindowTable::Cutter {
  Cutter(const ChainStore& store_in, WindowTable* table_in)
      : store(store_in), vocabulary(store_in.vocabulary()), table(table_in) {
    for (const TokenEntry& entry : vocabulary.tokens()) kinds.push_back(entry.kind);
  }

  TokenKind Kind(std::int64_t i) const { return kinds[static_cast<std::size_t>(chain.token(i))]; }
  bool HasCode(std::int64_t i) const { return chain.code[static_cast<std::size_t>(i)] != kNoCode; }
  bool BeginsEvent(std::int64_t i) const {
    return Kind(i) == TokenKind::kGap || (HasCode(i) && Kind(i - 1) != TokenKind::kGap);
  }
  // The last event start in (lowest, i], or i where there is none near.
  std::int64_t EventStart(std::int64_t i, std::int64_t lowest) const {
    for (std::int64_t start = i; start > std::max(lowest, i - kLongestEvent); --start) {
      if (BeginsEvent(start)) return start;
    }
    return i;
  }

  void Cut(std::int64_t subject) {
    chain = store.chain(subject);
    CheckTokens();
    const ChainHead head = HeadOf(vocabulary, chain);
    first = head.static_end;
    end = chain.size();
    // What follows the last target ([END]) is seen by no target.
    while (end > first && !IsTarget(vocabulary[chain.token(end - 1)])) --end;
    if (end == first) {
      ++table->account_.subjects_without_targets;
      return;
    }
    const std::int64_t context_length = table->options_.context_length;
    const std::int64_t statics = ShownStatics(head, context_length);
    table->account_.static_tokens_left_out += first - statics;
    ++table->account_.subjects;
    const std::int64_t head_length = 1 + statics + (HasAge(vocabulary, head) ? 1 : 0);
    for (std::int64_t begin = first; begin < end;) {
      begin = AddWindow(subject, begin, head_length, context_length - head_length);
    }
  }

  // Adds the window whose fresh tokens begin at `begin`; returns where they end.
  std::int64_t AddWindow(std::int64_t subject, std::int64_t begin, std::int64_t head_length,
                         std::int64_t room) {
    std::int64_t context_begin = std::max(first, begin - table->options_.context_overlap);
    if (context_begin > first) context_begin = EventStart(context_begin, first);
    std::int64_t stop = begin + room - (begin - context_begin);
    SEQUELA_CHECK(stop > begin);
    if (stop >= end) {
      stop = end;
    } else if (!BeginsEvent(stop)) {
      const std::int64_t cut = EventStart(stop, begin);
      if (cut == stop) ++table->account_.events_cut_apart;
      stop = cut;
    }
    Window window{.subject = subject,
                  .context_begin = narrow<std::int32_t>(context_begin),
                  .fresh_begin = narrow<std::int32_t>(begin),
                  .end = narrow<std::int32_t>(stop),
                  .length = narrow<std::int32_t>(head_length + stop - context_begin)};
    for (std::int64_t i = begin; i < stop; ++i) {
      const bool is_target = IsTarget(vocabulary[chain.token(i)]);
      window.num_targets += is_target ? 1 : 0;
      window.num_events += is_target && HasCode(i) ? 1 : 0;
    }
    if (window.num_targets > 0) Account(window);
    return stop;
  }

  void Account(const Window& window) {
    WindowAccount& account = table->account_;
    account.windows += 1;
    account.tokens += window.length;
    account.targets += window.num_targets;
    account.events += window.num_events;
    account.context_tokens += window.fresh_begin - window.context_begin;
    table->windows_.push_back(window);
  }

  void CheckTokens() const {
    for (std::int64_t i = 0; i < chain.size(); ++i) {
      if (chain.token(i) < 0 || chain.token(i) >= vocabulary.size()) {
        throw InputError(
            "{}: a chain holds token {}, the vocabulary has {}. The store is damaged: "
            "`sequela verify` says where.",
            store.folder().string(), chain.token(i), vocabulary.size());
      }
    }
  }

  const ChainStore& store;
  const Vocabulary& vocabulary;
  WindowTable* table;
  std::vector<TokenKind> kinds;  // [V]
  // Of the chain being cut: its targets lie within [first, end).
  ChainView chain;
  std::int64_t first = 0;
  std::int64_t end = 0;
};

WindowTable::WindowTable(const ChainStore& store, const WindowOptions& options)
    : store_(&store), options_(options) {
  CheckOptions(options);
  Cutter cutter(store, this);
  for (std::int64_t subject = 0; subject < store.num_subjects(); ++subject) {
    if (store.split(subject) == options.split) cutter.Cut(subject);
  }
  if (windows_.empty() && account_.subjects_without_targets == 0) {
    throw InputError("{}: no subject is in split {}. Ingest with other splits (--splits, --folds).",
                     store.folder().string(), NameOf(options.split));
  }
  if (windows_.empty()) {
    throw InputError(
        "{}: split {} has no events to learn from or to predict ({} of its subjects "
        "have static facts only). Ingest with other splits.",
        store.folder().string(), NameOf(options.split), account_.subjects_without_targets);
  }
}

void WindowTable::AppendTo(std::int64_t index, const std::vector<float>& token_weight,
                           Batch* batch) const {
  const Window& window = (*this)[index];
  const Vocabulary& vocabulary = store_->vocabulary();
  const ChainView chain = store_->chain(window.subject);
  const ChainHead head = HeadOf(vocabulary, chain);
  const std::int64_t start_us = chain.time_us[static_cast<std::size_t>(window.context_begin)];
  if (batch->document_begin.empty()) batch->document_begin.push_back(0);
  const std::size_t begin = batch->token.size();
  const auto add = [&](std::int32_t token, std::int64_t time_us) {
    batch->token.push_back(token);
    batch->time_us.push_back(time_us);
    batch->position.push_back(static_cast<std::int32_t>(batch->token.size() - 1 - begin));
  };
  add(vocabulary.bos(), start_us);
  for (std::int64_t i = 0; i < ShownStatics(head, options_.context_length); ++i) {
    add(chain.token(i), start_us);
  }
  if (HasAge(vocabulary, head)) {
    add(vocabulary.AgeToken(SecondsBetween(*head.birth_us, start_us)), start_us);
  }
  for (std::int64_t i = window.context_begin; i < window.end; ++i) {
    add(chain.token(i), chain.time_us[static_cast<std::size_t>(i)]);
  }
  SEQUELA_CHECK(batch->token.size() - begin == static_cast<std::size_t>(window.length));
  batch->target.resize(batch->token.size(), Batch::kNoTarget);
  batch->weight.resize(batch->token.size(), 0.0F);
  // Token `i` of the chain is predicted at the position before its own.
  const std::size_t origin = begin + static_cast<std::size_t>(HeadLength(index));
  for (std::int64_t i = window.fresh_begin; i < window.end; ++i) {
    const std::int32_t token = chain.token(i);
    if (!IsTarget(vocabulary[token])) continue;
    const std::size_t place = origin + static_cast<std::size_t>(i - window.context_begin) - 1;
    batch->target[place] = token;
    batch->weight[place] =
        token_weight.empty() ? 1.0F : token_weight[static_cast<std::size_t>(token)];
  }
  batch->document_begin.push_back(narrow<std::int32_t>(batch->token.size()));
  batch->sample.push_back(index);
}

}  // namespace sequela
