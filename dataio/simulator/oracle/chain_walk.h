// Walks along a chain and keeps the life's state: what the process knew before each target.
#pragma once

#include <cstdint>

#include "dataio/simulator/oracle/token_masses.h"
#include "dataio/store/chain_store.h"

namespace sequela {

// One thread at a time; borrows everything.
class ChainWalk {
 public:
  ChainWalk(const LifeProcess& process, const TokenMasses& masses, const Vocabulary& vocabulary,
            const ChainView& chain);

  // Moves to the next target (the first at first); false after the last. Throws InputError where
  // the chain cannot come from the process.
  bool Next();
  std::int64_t position() const { return position_; }
  std::int32_t token() const { return chain_.token(position_); }
  // Whether the target begins a timestamp, at time_us(); else it goes on with one or is a gap.
  bool begins_timestamp() const { return begins_timestamp_; }
  std::int64_t time_us() const { return chain_.time_us[static_cast<std::size_t>(position_)]; }
  const LifeState& state() const { return state_; }  // before the target

 private:
  void ReadHead(std::int64_t head_end);
  void Take(std::int64_t position);  // the token becomes history
  [[noreturn]] void Refuse(const char* what) const;

  const LifeProcess& process_;
  const TokenMasses& masses_;
  const Vocabulary& vocabulary_;
  const ChainView& chain_;
  LifeState state_;
  std::int64_t position_ = -1;
  std::int64_t taken_ = 0;  // tokens [0, taken_) are in the state
  bool begins_timestamp_ = false;
};

}  // namespace sequela
