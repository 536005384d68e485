// Simulated lives tokenised in memory, by few and plain lines that are independent of `ingest`:
// what the oracle's tests hold it against.
#pragma once

#include <cstdint>
#include <vector>

#include "dataio/simulator/simulator.h"
#include "dataio/simulator/simulator_oracle.h"
#include "dataio/store/chain_store.h"

namespace sequela {

// Chains of `lives` with their own storage. Gap bins of `gap_edges` (lower edges in seconds),
// values in `value_bins` quantile bins per code, rare codes under one fallback token where
// `merge_rarer_than` > 0.
class SimulatedChains {
 public:
  struct Options {
    std::vector<std::int64_t> gap_edges_seconds = {0,       3600,    43200,    172800,   604800,
                                                   2629800, 7889400, 31557600, 157788000};
    std::size_t value_bins = 10;
    std::int64_t merge_rarer_than = 0;  // events
  };
  SimulatedChains(const LifeProcess& process, std::uint64_t seed, std::int64_t lives)
      : SimulatedChains(process, seed, lives, Options{}) {}
  SimulatedChains(const LifeProcess& process, std::uint64_t seed, std::int64_t lives,
                  Options options);

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::vector<CodeEntry>& codes() const { return codes_; }
  std::int64_t size() const { return static_cast<std::int64_t>(chains_.size()); }
  const LifeRecord& life(std::int64_t i) const { return lives_[static_cast<std::size_t>(i)]; }
  ChainView chain(std::int64_t i) const;
  // The truth about these chains; the process's parameters may be overridden by others (wrong
  // ones).
  SimulatorOracle Oracle() const { return Oracle(parameters_); }
  SimulatorOracle Oracle(const ProcessParameters& parameters) const;

 private:
  struct Chain {
    std::vector<std::uint16_t> token;
    std::vector<std::int64_t> time_us;
    std::vector<std::uint32_t> code;
    std::vector<float> value;
  };

  void CountCodes();
  void FitBins(std::size_t bins);
  void MakeVocabulary(const Options& options);
  void Push(std::int32_t token, std::int64_t time_us, std::uint32_t code, float value,
            Chain* chain) const;
  void PushEvent(std::int64_t time_us, std::string_view code, float value, Chain* chain) const;
  Chain Tokenize(const LifeRecord& life) const;
  std::uint32_t CodeIndex(std::string_view code) const;

  ProcessParameters parameters_;
  std::vector<LifeRecord> lives_;
  std::vector<CodeEntry> codes_;                // ascending by code
  std::vector<std::vector<float>> bin_uppers_;  // [codes], without the infinite last
  Vocabulary vocabulary_;
  std::vector<Chain> chains_;
};

}  // namespace sequela
