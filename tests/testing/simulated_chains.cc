#include "tests/testing/simulated_chains.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

namespace sequela {
namespace {

constexpr float kNoValue = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

SimulatedChains::SimulatedChains(const LifeProcess& process, std::uint64_t seed, std::int64_t lives,
                                 Options options)
    : parameters_(process.parameters()) {
  for (std::int64_t i = 0; i < lives; ++i) {
    lives_.push_back(SimulateLife(process, seed, i));
  }
  CountCodes();
  FitBins(options.value_bins);
  MakeVocabulary(options);
  for (const LifeRecord& life : lives_) {
    chains_.push_back(Tokenize(life));
  }
}

void SimulatedChains::CountCodes() {
  std::map<std::string, std::int64_t> counts;
  for (const LifeRecord& life : lives_) {
    ++counts[SexCode(life.female)];
    ++counts[RaceCode(parameters_.races[static_cast<std::size_t>(life.race)])];
    ++counts[kBirthCode];
    for (const LifeEvent& event : life.events) {
      ++counts[std::string(event.code)];
    }
  }
  for (const auto& [code, count] : counts) {
    codes_.push_back({code, "", {}, count, 0, 0});
  }
}

void SimulatedChains::FitBins(std::size_t bins) {
  std::vector<std::vector<float>> values(codes_.size());
  for (const LifeRecord& life : lives_) {
    for (const LifeEvent& event : life.events) {
      if (!std::isnan(event.value)) {
        values[CodeIndex(event.code)].push_back(event.value);
      }
    }
  }
  for (auto& of_code : values) {
    std::sort(of_code.begin(), of_code.end());
    std::vector<float> uppers;
    for (std::size_t k = 1; k < bins && !of_code.empty(); ++k) {
      uppers.push_back(of_code[of_code.size() * k / bins]);
    }
    uppers.erase(std::unique(uppers.begin(), uppers.end()), uppers.end());
    bin_uppers_.push_back(uppers);
  }
}

void SimulatedChains::MakeVocabulary(const Options& options) {
  std::vector<TokenEntry> tokens;
  const auto add = [&](const std::string& text, TokenKind kind) -> TokenEntry& {
    tokens.emplace_back();
    tokens.back().text = text;
    tokens.back().kind = kind;
    return tokens.back();
  };
  for (const char* special : {"[BOS]", "[END]", "[UNK]"}) {
    add(special, TokenKind::kSpecial);
  }
  for (std::size_t k = 0; k < options.gap_edges_seconds.size(); ++k) {
    TokenEntry& gap = add("GAP//" + std::to_string(k), TokenKind::kGap);
    gap.lower_seconds = options.gap_edges_seconds[k];
    gap.upper_seconds = k + 1 < options.gap_edges_seconds.size()
                            ? options.gap_edges_seconds[k + 1]
                            : std::numeric_limits<std::int64_t>::max();
  }
  if (options.merge_rarer_than > 0) {
    add("RARE", TokenKind::kCode).is_fallback = true;
  }
  for (std::size_t c = 0; c < codes_.size(); ++c) {
    const std::string& code = codes_[c].code;
    codes_[c].token = static_cast<std::int32_t>(tokens.size());
    if (code.starts_with("GENDER") || code.starts_with("RACE") || code == kBirthCode) {
      add(code, TokenKind::kStatic).code = code;
      continue;
    }
    const bool rare = codes_[c].train_events < options.merge_rarer_than;
    if (rare && bin_uppers_[c].empty()) {
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        codes_[c].token = tokens[t].text == "RARE" ? static_cast<std::int32_t>(t) : codes_[c].token;
      }
      continue;
    }
    if (bin_uppers_[c].empty()) {
      add(code, TokenKind::kCode).code = code;
      continue;
    }
    for (std::size_t k = 0; k <= bin_uppers_[c].size(); ++k) {
      TokenEntry& bin = add(code + "//Q" + std::to_string(k + 1), TokenKind::kValue);
      bin.code = code;
      bin.bin_lower = k == 0 ? -kInfinity : bin_uppers_[c][k - 1];
      bin.bin_upper = k == bin_uppers_[c].size() ? kInfinity : bin_uppers_[c][k];
    }
  }
  vocabulary_ = Vocabulary(std::move(tokens));
}

std::uint32_t SimulatedChains::CodeIndex(std::string_view code) const {
  const auto found = std::lower_bound(
      codes_.begin(), codes_.end(), code,
      [](const CodeEntry& entry, std::string_view text) { return entry.code < text; });
  return static_cast<std::uint32_t>(found - codes_.begin());
}

void SimulatedChains::Push(std::int32_t token, std::int64_t time_us, std::uint32_t code,
                           float value, Chain* chain) const {
  chain->token.push_back(static_cast<std::uint16_t>(token));
  chain->time_us.push_back(time_us);
  chain->code.push_back(code);
  chain->value.push_back(value);
}

void SimulatedChains::PushEvent(std::int64_t time_us, std::string_view code, float value,
                                Chain* chain) const {
  const std::uint32_t index = CodeIndex(code);
  std::int32_t token = codes_[index].token;
  for (std::size_t k = 0; !std::isnan(value) && k < bin_uppers_[index].size(); ++k) {
    token += value > bin_uppers_[index][k] ? 1 : 0;
  }
  Push(token, time_us, index, value, chain);
}

SimulatedChains::Chain SimulatedChains::Tokenize(const LifeRecord& life) const {
  Chain chain;
  PushEvent(kStaticTime, SexCode(life.female), kNoValue, &chain);
  PushEvent(kStaticTime, RaceCode(parameters_.races[static_cast<std::size_t>(life.race)]), kNoValue,
            &chain);
  PushEvent(life.birth_us, kBirthCode, kNoValue, &chain);
  std::int64_t last = kStaticTime;
  for (const LifeEvent& event : life.events) {
    if (last != kStaticTime && event.time_us != last) {
      const std::int64_t seconds = (event.time_us - last) / kMicrosecondsPerSecond;
      Push(vocabulary_.GapToken(seconds), event.time_us, kNoCode, kNoValue, &chain);
    }
    last = event.time_us;
    PushEvent(event.time_us, event.code, event.value, &chain);
  }
  if (last != kStaticTime && life.events.back().code != "MEDS_DEATH") {
    Push(vocabulary_.end(), last, kNoCode, kNoValue, &chain);
  }
  return chain;
}

ChainView SimulatedChains::chain(std::int64_t i) const {
  const Chain& chain = chains_[static_cast<std::size_t>(i)];
  ChainView view;
  view.subject_id = life(i).subject_id;
  view.split = life(i).split;
  view.tokens16 = chain.token.data();
  view.time_us = chain.time_us;
  view.code = chain.code;
  view.value = chain.value;
  return view;
}

SimulatorOracle SimulatedChains::Oracle(const ProcessParameters& parameters) const {
  nlohmann::json simulation = {{"format", "sequela-simulation"},
                               {"version", 1},
                               {"unkind", nlohmann::json::array()},
                               {"process", nlohmann::json::parse(parameters.ToJson())}};
  return SimulatorOracle(simulation.dump(), "{}", vocabulary_, codes_);
}

}  // namespace sequela
