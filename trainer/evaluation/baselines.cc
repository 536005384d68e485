#include "trainer/evaluation/baselines.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

namespace sequela {
namespace {

using MakeSequence = std::function<SymbolSequence(const ChainView&)>;

bool HasTuningSplit(const ChainStore& store) {
  for (std::int64_t i = 0; i < store.num_subjects(); ++i) {
    if (store.split(i) == Split::kTuning && store.chain_length(i) > 0) return true;
  }
  return false;
}

// Every subject of the counted or the tuning share.
SequenceSource ShareOf(const ChainStore& store, bool for_tuning, MakeSequence make) {
  const bool has_tuning = HasTuningSplit(store);
  return [&store, for_tuning, has_tuning, make](const SequenceVisitor& visit) {
    constexpr std::int64_t kHeldBack = 10;
    std::int64_t train_index = 0;
    for (std::int64_t i = 0; i < store.num_subjects(); ++i) {
      const Split split = store.split(i);
      if (split == Split::kHeldOut) continue;
      const bool tunes = has_tuning ? split == Split::kTuning : train_index++ % kHeldBack == 0;
      if (tunes == for_tuning) visit(make(store.checked_chain(i)));
    }
  };
}

}  // namespace

CodeGroups::CodeGroups(const Vocabulary& vocabulary) {
  std::map<std::pair<std::string, bool>, std::int32_t> by_code;
  for (std::int32_t token = 0; token < vocabulary.size(); ++token) {
    const TokenEntry& entry = vocabulary[token];
    std::int32_t group = num_groups();
    if (!entry.code.empty() && entry.kind != TokenKind::kStatic) {
      group = by_code.emplace(std::pair(entry.code, entry.is_fallback), group).first->second;
    }
    if (group == num_groups()) token_of_group.push_back(token);
    group_of_token.push_back(group);
  }
}

SymbolSequence TokenSequence(const Vocabulary& vocabulary, const ChainView& chain) {
  SymbolSequence sequence;
  const std::int64_t timed_begin = HeadOf(vocabulary, chain).static_end;
  std::int32_t last = -1;
  for (std::int64_t i = 0; i < chain.size(); ++i) {
    const std::int32_t token = chain.token(i);
    if (token == vocabulary.end()) break;
    const bool is_target = i >= timed_begin && IsTarget(vocabulary[token]);
    sequence.symbol.push_back(token);
    sequence.is_target.push_back(is_target ? 1 : 0);
    sequence.last.push_back(last);
    if (chain.code[static_cast<std::size_t>(i)] != kNoCode && is_target) last = token;
  }
  return sequence;
}

SymbolSequence CodeSequence(const Vocabulary& vocabulary, const CodeGroups& groups,
                            const ChainView& chain) {
  SymbolSequence sequence;
  const std::int64_t timed_begin = HeadOf(vocabulary, chain).static_end;
  for (std::int64_t i = 0; i < chain.size(); ++i) {
    if (chain.code[static_cast<std::size_t>(i)] == kNoCode) continue;
    const std::int32_t token = chain.token(i);
    sequence.last.push_back(sequence.symbol.empty() ? -1 : sequence.symbol.back());
    sequence.symbol.push_back(groups.group_of_token[static_cast<std::size_t>(token)]);
    sequence.is_target.push_back(i >= timed_begin && IsTarget(vocabulary[token]) ? 1 : 0);
  }
  return sequence;
}

NgramModel FitTokenBaseline(const ChainStore& store) {
  const Vocabulary& vocabulary = store.vocabulary();
  const auto make = [&](const ChainView& chain) { return TokenSequence(vocabulary, chain); };
  const auto num_targets = static_cast<std::int32_t>(std::ranges::count_if(
      vocabulary.tokens(), [](const TokenEntry& entry) { return IsTarget(entry); }));
  return {vocabulary.size(), num_targets, ShareOf(store, false, make), ShareOf(store, true, make)};
}

NgramModel FitCodeBaseline(const ChainStore& store, const CodeGroups& groups) {
  const Vocabulary& vocabulary = store.vocabulary();
  const auto make = [&](const ChainView& chain) { return CodeSequence(vocabulary, groups, chain); };
  const auto num_targets = static_cast<std::int32_t>(
      std::ranges::count_if(groups.token_of_group, [&](std::int32_t token) {
        // Value tokens that all codes share belong to the events before them.
        const TokenEntry& entry = vocabulary[token];
        return IsTarget(entry) && entry.kind != TokenKind::kGap &&
               !(entry.kind == TokenKind::kValue && entry.code.empty());
      }));
  return {groups.num_groups(), num_targets, ShareOf(store, false, make),
          ShareOf(store, true, make)};
}

}  // namespace sequela
