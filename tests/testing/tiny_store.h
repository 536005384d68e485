// Small chain stores for everybody's tests: made up, deterministic, well formed in every respect of
// dataio/CHAIN_FORMAT.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "dataio/store/chain_store.h"
#include "dataio/store/chain_store_writer.h"
#include "dataio/store/vocabulary.h"

namespace sequela::testing {

// Specials, SEX//F and SEX//M and MEDS_BIRTH (static), five age and five gap tokens, `num_codes`
// codes "CODE//0".., the value tokens "=low" and "=high" that follow an event of the codes with odd
// number.
Vocabulary TinyVocabulary(int num_codes);

// One subject as the writer takes it. Events are appended in the order of their times.
class TinyChain {
 public:
  TinyChain(const Vocabulary* vocabulary, std::int64_t subject_id, Split split);

  TinyChain& Static(const std::string& text);  // time INT64_MIN
  TinyChain& Birth(std::int64_t time_us);      // MEDS_BIRTH
  // The gap token where the time is new, the token of CODE//<number>, and, for odd numbers, its
  // value token ("=low" below 0).
  TinyChain& Event(std::int64_t time_us, int number, float value = 0.5F);
  TinyChain& End();  // [END] at the last time
  void AppendTo(ChainShardWriter* writer) const;
  std::int64_t size() const { return static_cast<std::int64_t>(token.size()); }

  std::int64_t subject_id;
  Split split;
  std::vector<std::uint32_t> token;
  std::vector<std::int64_t> time_us;
  std::vector<std::uint32_t> code;
  std::vector<float> value;

 private:
  TinyChain& Add(const std::string& text, std::int64_t time, std::uint32_t code_index,
                 float raw_value);
  const Vocabulary* vocabulary_;
  std::int64_t last_time_us_ = kStaticTime;
};

struct TinyStoreOptions {
  int subjects = 40;  // ids 1000, 1001, ...; of ten, seven train, one tuning, two held_out
  int shards = 2;
  int num_codes = 20;
  int shortest_events = 1;  // events per subject, uniform between the two
  int longest_events = 60;
  std::uint64_t seed = 1;
  // Each code is followed by the next one (mod num_codes) three times of four: something to learn.
  bool learnable = true;
};

// Writes a store of random chains as `folder`, which must not exist.
void WriteTinyStore(const std::filesystem::path& folder, const TinyStoreOptions& options = {});

// Writes a store of these chains, dealt to shards in order.
void WriteTinyStore(const std::filesystem::path& folder, const Vocabulary& vocabulary,
                    const std::vector<TinyChain>& chains, int shards = 1);

}  // namespace sequela::testing
