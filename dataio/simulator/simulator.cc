#include "dataio/simulator/simulator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "dataio/meds/meds_writer.h"
#include "dataio/simulator/process/corruption.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

constexpr std::uint64_t kLifePurpose = HashName("simulator/life");
constexpr std::uint64_t kSplitPurpose = HashName("simulator/split");
constexpr int kFirstBirthYearSince1970 = -70;
constexpr int kBirthYears = 90;

int DrawRace(const std::vector<RaceParameters>& races, PhiloxStream* random) {
  double target = random->NextUniform();
  for (std::size_t r = 0; r + 1 < races.size(); ++r) {
    if (target < races[r].probability) {
      return static_cast<int>(r);
    }
    target -= races[r].probability;
  }
  return static_cast<int>(races.size()) - 1;
}

std::int64_t DrawBirth(PhiloxStream* random) {
  const double days = 365.25 * (kFirstBirthYearSince1970 + kBirthYears * random->NextUniform());
  return static_cast<std::int64_t>(days) * kMicrosecondsPerDay;
}

// The three files of one shard, one per split.
class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& folder, int shard) : folder_(folder), shard_(shard) {}

  void Append(const LifeProcess& process, const LifeRecord& life) {
    MedsFileWriter& file = FileOf(life.split);
    file.Append(life.subject_id, kStaticTime, SexCode(life.female));
    file.Append(life.subject_id, kStaticTime,
                RaceCode(process.parameters().races[static_cast<std::size_t>(life.race)]));
    file.Append(life.subject_id, life.birth_us, kBirthCode);
    for (const LifeEvent& event : life.events) {
      file.Append(life.subject_id, event.time_us, event.code, event.value);
    }
  }

  std::int64_t Finish() {
    std::int64_t rows = 0;
    for (const auto& file : files_) {
      if (file != nullptr) {
        rows += file->rows();
        file->Finish();
      }
    }
    return rows;
  }

 private:
  MedsFileWriter& FileOf(Split split) {
    auto& file = files_[static_cast<std::size_t>(split)];
    if (file == nullptr) {
      file = std::make_unique<MedsFileWriter>(folder_ / "data" / NameOf(split) /
                                              (std::to_string(shard_) + ".parquet"));
    }
    return *file;
  }

  std::filesystem::path folder_;
  int shard_;
  std::array<std::unique_ptr<MedsFileWriter>, 3> files_;
};

SimulationSummary WriteShard(const LifeProcess& process, const CorruptedRecords& corrupted,
                             const SimulationOptions& options, const std::filesystem::path& folder,
                             int shard) {
  const std::int64_t begin = options.subjects * shard / options.shards;
  const std::int64_t end = options.subjects * (shard + 1) / options.shards;
  ShardWriter writer(folder, shard);
  SimulationSummary summary;
  for (std::int64_t index = begin; index < end; ++index) {
    LifeRecord life = SimulateLife(process, options.seed, index);
    summary.deaths += !life.events.empty() && life.events.back().code == "MEDS_DEATH" ? 1 : 0;
    corrupted.Apply(&life);
    writer.Append(process, life);
  }
  summary.subjects = end - begin;
  summary.events = writer.Finish();
  return summary;
}

// Runs the shards on options.threads threads; the first exception is carried to the caller.
SimulationSummary WriteShards(const LifeProcess& process, const CorruptedRecords& corrupted,
                              const SimulationOptions& options,
                              const std::filesystem::path& folder) {
  SimulationSummary total;
  std::mutex mutex;
  std::exception_ptr failure;
  std::atomic<int> next{0};
  const auto work = [&] {
    try {
      for (int shard = next++; shard < options.shards; shard = next++) {
        const SimulationSummary part = WriteShard(process, corrupted, options, folder, shard);
        const std::lock_guard lock(mutex);
        total.subjects += part.subjects;
        total.events += part.events;
        total.deaths += part.deaths;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = options.shards;
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < std::min(options.threads, options.shards); ++t) {
    threads.emplace_back(work);
  }
  work();
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
  return total;
}

std::vector<MedsCode> CodeTable(const ProcessParameters& parameters,
                                const CorruptedRecords& corrupted) {
  std::vector<MedsCode> codes = corrupted.codes();
  codes.push_back({SexCode(true), "Female", {}});
  codes.push_back({SexCode(false), "Male", {}});
  codes.push_back({kBirthCode, "Birth", {}});
  for (const RaceParameters& race : parameters.races) {
    codes.push_back({RaceCode(race), "Race: " + race.name, {}});
  }
  for (const AnchorParameters& anchor : parameters.anchors) {
    codes.push_back({anchor.code, anchor.description, {}});
  }
  for (const FollowUpParameters& follow_up : parameters.follow_ups) {
    codes.push_back({follow_up.code, follow_up.description, {}});
  }
  const auto by_code = [](const MedsCode& a, const MedsCode& b) { return a.code < b.code; };
  std::stable_sort(codes.begin(), codes.end(), by_code);
  const auto same = [](const MedsCode& a, const MedsCode& b) { return a.code == b.code; };
  codes.erase(std::unique(codes.begin(), codes.end(), same), codes.end());
  return codes;
}

std::string SimulationJson(const ProcessParameters& parameters, const SimulationOptions& options) {
  nlohmann::json json;
  json["format"] = "sequela-simulation";
  json["version"] = 1;
  json["generator_version"] = SEQUELA_VERSION;
  json["seed"] = options.seed;
  json["subjects"] = options.subjects;
  json["unkind"] = options.corruptions;  // so named in files of version 1
  json["process"] = ParseJsonText(parameters.ToJson(), "process");
  return json.dump(1) + "\n";
}

void WriteMetadata(const std::filesystem::path& folder, const ProcessParameters& parameters,
                   const CorruptedRecords& corrupted, const SimulationOptions& options) {
  std::vector<MedsSubjectSplit> splits;
  splits.reserve(static_cast<std::size_t>(options.subjects));
  for (std::int64_t index = 0; index < options.subjects; ++index) {
    splits.push_back({index + 1, SimulatedSplit(options.seed, index)});
  }
  WriteMedsMetadata(folder,
                    {"sequela simulation", fmt::format("seed {}", options.seed), "sequela simulate",
                     SEQUELA_VERSION, ""},
                    CodeTable(parameters, corrupted), splits);
  WriteFileAtomically(folder / "metadata" / "simulation.json", SimulationJson(parameters, options));
}

}  // namespace

std::string SexCode(bool female) { return female ? "GENDER//F" : "GENDER//M"; }

std::string RaceCode(const RaceParameters& race) { return "RACE//" + race.name; }

Split SimulatedSplit(std::uint64_t seed, std::int64_t index) {
  PhiloxStream random(seed, kSplitPurpose, static_cast<std::uint64_t>(index / 10));
  const auto held_out = static_cast<std::int64_t>(random.NextUniform() * 10);
  const auto other = static_cast<std::int64_t>(random.NextUniform() * 9);
  const std::int64_t tuning = other < held_out ? other : other + 1;
  const std::int64_t place = index % 10;
  return place == held_out ? Split::kHeldOut : place == tuning ? Split::kTuning : Split::kTrain;
}

void DrawFollowUps(const LifeProcess& process, LifeState* state, PhiloxStream* random,
                   std::vector<LifeEvent>* events) {
  for (int f = 0; f < process.num_follow_ups(); ++f) {
    const double probability = process.FollowUpProbability(*state, f);
    if (probability <= 0 || random->NextUniform() >= probability) {
      continue;
    }
    float value = MedsFileWriter::kNoValue;
    if (process.has_laboratory(f)) {
      value = process.Laboratory(*state, f).Draw(random);
    }
    process.ApplyFollowUp(f, state);
    const std::string& code = process.parameters().follow_ups[static_cast<std::size_t>(f)].code;
    events->push_back({state->now_us, code, value});
  }
}

LifeRecord SimulateLife(const LifeProcess& process, std::uint64_t seed, std::int64_t index) {
  PhiloxStream random(seed, kLifePurpose, static_cast<std::uint64_t>(index));
  LifeRecord life;
  life.subject_id = index + 1;
  life.split = SimulatedSplit(seed, index);
  life.female = random.NextUniform() < process.parameters().female_probability;
  life.race = DrawRace(process.parameters().races, &random);
  life.birth_us = DrawBirth(&random);
  LifeState state = process.Born(life.female, life.race, life.birth_us);
  while (!state.ended) {
    const NextEvent next = DrawNextEvent(process, state, state.now_us, /*censored=*/true, &random);
    if (next.anchor < 0) {
      break;
    }
    process.ApplyAnchor(next.anchor, next.time_us, &state);
    life.events.push_back({state.now_us,
                           process.parameters().anchors[static_cast<std::size_t>(next.anchor)].code,
                           MedsFileWriter::kNoValue});
    if (!state.ended) {
      DrawFollowUps(process, &state, &random, &life.events);
    }
  }
  return life;
}

SimulationSummary WriteSimulation(const std::filesystem::path& folder,
                                  const ProcessParameters& parameters,
                                  const SimulationOptions& options) {
  const LifeProcess process(parameters);
  const CorruptedRecords corrupted(parameters, options.seed, options.corruptions);
  PartialFolder partial(folder);
  if (options.note && !partial.takeover().empty()) options.note(partial.takeover());
  const SimulationSummary summary = WriteShards(process, corrupted, options, partial.folder());
  WriteMetadata(partial.folder(), parameters, corrupted, options);
  partial.Commit();
  return summary;
}

}  // namespace sequela
