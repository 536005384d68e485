// Draws whole lives from the process of simulator_process.h and writes them as a MEDS dataset.
// A life is a function of (parameters, seed, subject index) alone: shards and threads change
// nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/simulator/simulator_process.h"
#include "dataio/store/chain_store.h"

namespace sequela {

// One recorded event of a life.
struct LifeEvent {
  std::int64_t time_us = 0;
  std::string_view code;  // the process's own text
  float value = 0;        // NaN where there is none
};

// The record of one life, from birth to death or censoring.
struct LifeRecord {
  std::int64_t subject_id = 0;
  Split split = Split::kTrain;
  bool female = false;
  int race = 0;
  std::int64_t birth_us = 0;      // a midnight
  std::vector<LifeEvent> events;  // ascending in time; a timestamp's in canonical order
};
LifeRecord SimulateLife(const LifeProcess& process, std::uint64_t seed, std::int64_t index);

// The follow-ups of the timestamp that state->anchor has just begun: applied to the state, and
// appended.
void DrawFollowUps(const LifeProcess& process, LifeState* state, PhiloxStream* random,
                   std::vector<LifeEvent>* events);

// Of every ten subjects in a row one is tuning and one held_out.
Split SimulatedSplit(std::uint64_t seed, std::int64_t index);

struct SimulationOptions {
  std::int64_t subjects = 0;
  std::uint64_t seed = 0;
  int shards = 1;  // files per split
  int threads = 1;
  std::vector<std::string> corruptions;  // names of CorruptionOptions(); empty: the process alone
  // For the log, a sentence at a time (an interrupted work that is taken over); may be empty.
  std::function<void(const std::string&)> note;
};

// What real records do and the simulated process does not: late entry with recorded history,
// delayed and date-only coding, duplicates, bursts of 5-50 events a timestamp, two sites with other
// codes and units, events after death. The oracle refuses all of them. (Testing that depends on the
// state is part of the process, and covered.)
const std::vector<std::string>& CorruptionOptions();

struct SimulationSummary {
  std::int64_t subjects = 0;
  std::int64_t events = 0;  // rows of all data files
  std::int64_t deaths = 0;
};

// Writes `folder` (which must not exist), whole or not at all: data/<split>/<shard>.parquet,
// metadata/{codes,subject_splits}.parquet, dataset.json and simulation.json, from which the oracle
// knows the truth. Throws InputError or MachineError.
SimulationSummary WriteSimulation(const std::filesystem::path& folder,
                                  const ProcessParameters& parameters,
                                  const SimulationOptions& options);

// Codes of the static facts and the birth that open a simulated record.
std::string SexCode(bool female);                  // "GENDER//F", "GENDER//M"
std::string RaceCode(const RaceParameters& race);  // "RACE//WHITE"
inline constexpr char kBirthCode[] = "MEDS_BIRTH";

}  // namespace sequela
