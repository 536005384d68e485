// A batch: windows of chains packed one after another, without padding. Plain data, owned; what
// crosses from the loader's thread to the training thread.
#pragma once

#include <cstdint>
#include <vector>

namespace sequela {

// T = tokens of the batch, D = documents (windows).
struct Batch {
  static constexpr std::int32_t kNoTarget = -1;

  std::vector<std::int32_t> token;     // [T]
  std::vector<std::int32_t> target;    // [T] the next token of the same window, or kNoTarget
  std::vector<float> weight;           // [T] loss weight of the target; 0 where there is none
  std::vector<std::int32_t> position;  // [T] index within the window, from 0
  std::vector<std::int64_t> time_us;   // [T] real time; head tokens take the window's first
                                       //     timed event's time
  std::vector<std::int32_t>
      document_begin;                // [D + 1] offsets into the above; ascending, may repeat
  std::vector<std::int64_t> sample;  // [D] the window's index in the sample table: names a
                                     //     sample in messages and seeds its dropout

  std::int64_t num_tokens() const { return static_cast<std::int64_t>(token.size()); }
  std::int64_t num_documents() const { return static_cast<std::int64_t>(sample.size()); }
};

}  // namespace sequela
