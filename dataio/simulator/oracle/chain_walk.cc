#include "dataio/simulator/oracle/chain_walk.h"

#include "kernels/base/errors.h"

namespace sequela {

ChainWalk::ChainWalk(const LifeProcess& process, const TokenMasses& masses,
                     const Vocabulary& vocabulary, const ChainView& chain)
    : process_(process), masses_(masses), vocabulary_(vocabulary), chain_(chain) {
  const ChainHead head = HeadOf(vocabulary, chain);
  taken_ = head.static_end;
  position_ = head.static_end - 1;
  if (chain.size() > 0) {
    ReadHead(head.static_end);
  }
}

void ChainWalk::ReadHead(std::int64_t head_end) {
  int sex = -1;
  int race = -1;
  std::int64_t birth_us = kStaticTime;
  for (std::int64_t i = 0; i < head_end; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (chain_.code[at] == kNoCode) {
      Refuse("a static token without its code");
    }
    const CodeRole& role = masses_.role(chain_.code[at]);
    sex = role.sex >= 0 ? role.sex : sex;
    race = role.race >= 0 ? role.race : race;
    birth_us = chain_.time_us[at] != kStaticTime ? chain_.time_us[at] : birth_us;
  }
  if (sex < 0 || race < 0 || birth_us == kStaticTime) {
    Refuse("a head without sex, race or birth (the setting static_codes leaves them out?)");
  }
  state_ = process_.Born(sex == 1, race, birth_us);
}

bool ChainWalk::Next() {
  for (++position_; position_ <= chain_.size(); ++position_) {
    while (taken_ < position_) {
      Take(taken_++);
    }
    if (position_ == chain_.size()) {
      return false;
    }
    if (IsTarget(vocabulary_[token()])) {
      begins_timestamp_ = vocabulary_[token()].kind != TokenKind::kGap && time_us() > state_.now_us;
      return true;
    }
  }
  return false;
}

void ChainWalk::Take(std::int64_t position) {
  const auto at = static_cast<std::size_t>(position);
  if (chain_.code[at] == kNoCode) {
    return;  // a gap token or [END]
  }
  const CodeRole& role = masses_.role(chain_.code[at]);
  if (chain_.time_us[at] > state_.now_us) {
    if (role.anchor < 0 || state_.ended) {
      Refuse("a timestamp that begins with what no timestamp of the process begins with");
    }
    process_.ApplyAnchor(role.anchor, chain_.time_us[at], &state_);
  } else {
    if (role.follow_up <= state_.last_follow_up || state_.anchor < 0) {
      Refuse("events of one timestamp in another order than canonical (the setting order)");
    }
    process_.ApplyFollowUp(role.follow_up, &state_);
  }
}

void ChainWalk::Refuse(const char* what) const {
  throw InputError(
      "a chain, near token {}: {}; the oracle covers stores of `sequela simulate`'s "
      "data ingested with the default settings",
      taken_, what);
}

}  // namespace sequela
