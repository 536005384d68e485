#include "trainer/evaluation/evaluate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "dataio/loader/evaluation_windows.h"
#include "dataio/simulator/simulator_oracle.h"
#include "dataio/store/run_store.h"
#include "kernels/base/errors.h"
#include "runtime/log.h"
#include "runtime/step_timer.h"
#include "trainer/evaluation/baselines.h"
#include "trainer/evaluation/scoring/outcome_excess.h"
#include "trainer/evaluation/scoring/subject_sums.h"
#include "trainer/experiment/open_device.h"
#include "trainer/experiment/run_weights.h"
#include "trainer/experiment/train_setup.h"
#include "trainer/model/decoder.h"

namespace sequela {
namespace {

constexpr std::uint64_t kBootstrapSeed = 1;
// Batches are the same for any number of ranks and any training settings, so that results are too.
constexpr std::int64_t kBatchTokens = 2048;

// Throws InputError where the model was made for another vocabulary than the run's.
RunWeights OpenWeightsOf(const StoredRun& run, const EvaluationRequest& request,
                         const Vocabulary& vocabulary, Communicator& communicator) {
  RunWeights weights =
      OpenRunWeights(run, {.step = request.step, .newest = request.newest}, communicator);
  const std::int32_t tokens = weights.model->config().vocab_size;
  if (tokens != vocabulary.size()) {
    throw InputError("{}: its model knows {} tokens, the vocabulary of {} has {}",
                     (weights.folder / "config.json").string(), tokens, run.folder.string(),
                     vocabulary.size());
  }
  return weights;
}

// Everything that one evaluation works with.
class Evaluation {
 public:
  Evaluation(const StoredRun& run, const EvaluationRequest& request, World& world);
  EvaluationReport Run();

 private:
  void ListSubjects();
  void ScoreModel();
  void AddScores(const EvaluationBatch& input, const TokenScores& scores);
  void AddTarget(std::int64_t row, const ChainView& chain, std::size_t place,
                 std::int64_t context_tokens, const TokenScores& scores, std::size_t t);
  void AddOutcomes(const EvaluationBatch& input);
  void ScoreBaselines();
  void AddTokenBaselines(std::int64_t row, const ChainView& chain, const NgramModel& model);
  void AddCodeBaselines(std::int64_t row, const ChainView& chain, const NgramModel& model);
  void AddOracle(std::int64_t row, const ChainView& chain);
  void FillComparisons(EvaluationReport& report) const;
  void FillParts(EvaluationReport& report) const;
  void FillTruth(EvaluationReport& report) const;
  Estimate EstimateOf(std::size_t numerator, std::size_t denominator) const;

  const StoredRun& run_;
  const EvaluationRequest& request_;
  Communicator& communicator_;
  std::shared_ptr<Device> device_;
  ChainStore store_;
  RunWeights weights_;
  ModelConfig config_;
  EvaluationWindows windows_;
  CodeGroups groups_;
  std::vector<float> log_weights_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<FlatBuffers> buffers_;
  std::optional<SimulatorOracle> oracle_;
  std::string oracle_absence_;
  std::unique_ptr<OutcomeExcess> excess_;
  std::vector<std::int64_t> subjects_;        // of the split
  std::vector<std::int64_t> row_of_subject_;  // [store's subjects], -1 elsewhere
  std::unique_ptr<SubjectSums> sums_;
  std::vector<float> logits_;
  std::int64_t num_windows_ = 0;
};

EvaluationOptions WindowOptionsOf(const StoredRun& run, const EvaluationRequest& request) {
  const std::int64_t context = run.experiment.data.context_length;
  return {.split = request.split,
          .context_length = context,
          .microbatch_tokens = std::max(context, kBatchTokens)};
}

// A run of a GPU machine may be evaluated on one without.
DeviceChoice DeviceFor(const StoredRun& run) {
  return run.experiment.parallel.device == DeviceChoice::kCpu ? DeviceChoice::kCpu
                                                              : DeviceChoice::kAuto;
}

ChainStore OpenStoreOf(const StoredRun& run, const EvaluationRequest& request) {
  ChainStore store =
      ChainStore::Open(request.store.empty() ? FindStoreOfRun(run.folder) : request.store);
  CheckSameVocabulary(run, store);
  if (store.content_hash() != run.identity.store_content_hash) {
    LogWarning(
        "{} is not the store that {} was trained on: its {} split may hold subjects that the run "
        "learned from",
        store.folder().string(), run.folder.string(), NameOf(request.split));
  }
  return store;
}

Evaluation::Evaluation(const StoredRun& run, const EvaluationRequest& request, World& world)
    : run_(run),
      request_(request),
      communicator_(world.communicator()),
      device_(OpenDevice(DeviceFor(run), world)),
      store_(OpenStoreOf(run, request)),
      weights_(OpenWeightsOf(run, request, store_.vocabulary(), communicator_)),
      config_(weights_.model->config()),
      windows_(store_, WindowOptionsOf(run, request)),
      groups_(store_.vocabulary()) {
  for (const float weight : run.identity.target_weights) log_weights_.push_back(std::log(weight));
  DecoderOptions options = DecoderOptionsOf(run.experiment, world);
  options.max_tokens = WindowOptionsOf(run, request).microbatch_tokens;
  options.with_backward = false;
  decoder_ = std::make_unique<Decoder>(config_, options, *device_);
  buffers_ =
      std::make_unique<FlatBuffers>(decoder_->table(), options.compute_dtype, false, *device_);
  weights_.model->weights().ReadAll(*buffers_);
  weights_.model.reset();
  if (SimulatorOracle::Exists(store_)) {
    try {
      oracle_ = SimulatorOracle::ForStore(store_);
      excess_ = std::make_unique<OutcomeExcess>(store_, *oracle_);
    } catch (const InputError& error) {
      oracle_absence_ = error.what();  // a setting that the closed forms do not cover
    }
  }
  ListSubjects();
}

void Evaluation::ListSubjects() {
  row_of_subject_.assign(static_cast<std::size_t>(store_.num_subjects()), -1);
  for (std::int64_t i = 0; i < store_.num_subjects(); ++i) {
    if (store_.split(i) != request_.split) continue;
    row_of_subject_[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(subjects_.size());
    subjects_.push_back(i);
  }
  sums_ = std::make_unique<SubjectSums>(static_cast<std::int64_t>(subjects_.size()),
                                        oracle_ ? oracle_->outcomes().size() : 0);
}

void Evaluation::ScoreModel() {
  const std::int64_t batches = windows_.num_batches();
  for (std::int64_t k = communicator_.rank(); k < batches; k += communicator_.size()) {
    const EvaluationBatch input = windows_.Load(k);
    AddScores(input, decoder_->Evaluate(*buffers_, input.batch,
                                        {.log_class_weight = log_weights_,
                                         .group_of_token = groups_.group_of_token}));
    if (excess_) AddOutcomes(input);
  }
  num_windows_ = windows_.account().windows;
}

void Evaluation::AddOutcomes(const EvaluationBatch& input) {
  logits_.resize(input.batch.token.size() * static_cast<std::size_t>(config_.vocab_size));
  decoder_->Logits(*buffers_, input.batch, logits_);
  excess_->Add(input, logits_, log_weights_, row_of_subject_, *sums_);
}

// For every event of a chain whether its code is there for the first time.
std::vector<std::uint8_t> FirstOccurrences(const ChainView& chain) {
  std::vector<std::uint8_t> is_first;
  std::unordered_set<std::uint32_t> seen;
  for (const std::uint32_t code : chain.code) {
    is_first.push_back(code != kNoCode && seen.insert(code).second ? 1 : 0);
  }
  return is_first;
}

void Evaluation::AddScores(const EvaluationBatch& input, const TokenScores& scores) {
  for (std::size_t d = 0; d < input.subject.size(); ++d) {
    const ChainView chain = store_.chain(input.subject[d]);
    const std::vector<std::uint8_t> is_first = FirstOccurrences(chain);
    const std::int64_t row = row_of_subject_[static_cast<std::size_t>(input.subject[d])];
    const auto end = static_cast<std::size_t>(input.batch.document_begin[d + 1]);
    for (auto t = static_cast<std::size_t>(input.batch.document_begin[d]); t < end; ++t) {
      if (input.chain_index[t] < 0) continue;
      const auto place = static_cast<std::size_t>(input.chain_index[t]);
      AddTarget(row, chain, place, input.context_tokens[t], scores, t);
      if (is_first[place] == 0) continue;
      sums_->Add(row, kFirstEvents, 1.0);
      sums_->Add(row, kFirstCodeNll, scores.group_nll[t]);
    }
  }
}

void Evaluation::AddTarget(std::int64_t row, const ChainView& chain, std::size_t place,
                           std::int64_t context_tokens, const TokenScores& scores, std::size_t t) {
  const double nll = log_weights_.empty() ? scores.nll[t] : scores.corrected_nll[t];
  const double top1 = scores.rank[t] == 0 ? 1.0 : 0.0;
  sums_->Add(row, kTargets, 1.0);
  sums_->Add(row, kNll, nll);
  sums_->Add(row, kUncorrectedNll, scores.nll[t]);
  sums_->Add(row, kTop1, top1);
  sums_->Add(row, kTop5, scores.rank[t] < 5 ? 1.0 : 0.0);
  sums_->Add(row, kTop10, scores.rank[t] < 10 ? 1.0 : 0.0);
  if (chain.code[place] != kNoCode) {
    sums_->Add(row, kEvents, 1.0);
    sums_->Add(row, kCodeNll, scores.group_nll[t]);
  }
  const TokenKind kind = store_.vocabulary()[chain.token(static_cast<std::int64_t>(place))].kind;
  const std::size_t kind_column = kKindColumns + 3 * static_cast<std::size_t>(kind);
  sums_->Add(row, kind_column, 1.0);
  sums_->Add(row, kind_column + 1, nll);
  sums_->Add(row, kind_column + 2, top1);
  const auto range = std::min<std::size_t>(
      static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(context_tokens))),
      kContextRanges - 1);
  sums_->Add(row, kContextColumns + 2 * range, 1.0);
  sums_->Add(row, kContextColumns + 2 * range + 1, nll);
}

void Evaluation::ScoreBaselines() {
  const NgramModel tokens = FitTokenBaseline(store_);
  const NgramModel codes = FitCodeBaseline(store_, groups_);
  const auto count = static_cast<std::int64_t>(subjects_.size());
  for (std::int64_t row = communicator_.rank(); row < count; row += communicator_.size()) {
    const ChainView chain = store_.chain(subjects_[static_cast<std::size_t>(row)]);
    AddTokenBaselines(row, chain, tokens);
    AddCodeBaselines(row, chain, codes);
    if (oracle_) AddOracle(row, chain);
  }
}

void Evaluation::AddTokenBaselines(std::int64_t row, const ChainView& chain,
                                   const NgramModel& model) {
  const SymbolSequence sequence = TokenSequence(store_.vocabulary(), chain);
  for (std::size_t i = 0; i < sequence.symbol.size(); ++i) {
    if (sequence.is_target[i] == 0) continue;
    const NgramProbabilities p = model.At(sequence, static_cast<std::int64_t>(i));
    sums_->Add(row, kBaselineTargets, 1.0);
    sums_->Add(row, kUnigramNll, -std::log(p.unigram));
    sums_->Add(row, kBigramNll, -std::log(p.bigram));
    sums_->Add(row, kTrigramNll, -std::log(p.trigram));
    sums_->Add(row, kCopyLastNll, -std::log(p.copy_last));
    sums_->Add(row, kCopyLastHits, sequence.last[i] == sequence.symbol[i] ? 1.0 : 0.0);
  }
}

void Evaluation::AddCodeBaselines(std::int64_t row, const ChainView& chain,
                                  const NgramModel& model) {
  const SymbolSequence sequence = CodeSequence(store_.vocabulary(), groups_, chain);
  for (std::size_t i = 0; i < sequence.symbol.size(); ++i) {
    if (sequence.is_target[i] == 0) continue;
    const NgramProbabilities p = model.At(sequence, static_cast<std::int64_t>(i));
    sums_->Add(row, kCodeUnigramNll, -std::log(p.unigram));
    sums_->Add(row, kCodeBigramNll, -std::log(p.bigram));
    sums_->Add(row, kCodeTrigramNll, -std::log(p.trigram));
    sums_->Add(row, kCodeCopyLastNll, -std::log(p.copy_last));
  }
}

void Evaluation::AddOracle(std::int64_t row, const ChainView& chain) {
  std::vector<double> log_probability;
  oracle_->LogProbabilities(chain, &log_probability);
  for (const double value : log_probability) {
    if (!std::isnan(value)) sums_->Add(row, kOracleNll, -value);
  }
}

Estimate Evaluation::EstimateOf(std::size_t numerator, std::size_t denominator) const {
  const RatioSums sums{sums_->Column(numerator), sums_->Column(denominator)};
  return {sums_->Ratio(numerator, denominator),
          BootstrapIntervals(std::span(&sums, 1), kBootstrapSeed)[0]};
}

void Evaluation::FillComparisons(EvaluationReport& report) const {
  report.nll_per_token = EstimateOf(kNll, kTargets);
  report.nll_per_event = EstimateOf(kNll, kEvents);
  report.top1 = EstimateOf(kTop1, kTargets);
  report.top5 = EstimateOf(kTop5, kTargets);
  report.top10 = EstimateOf(kTop10, kTargets);
  report.code_nll_per_event = EstimateOf(kCodeNll, kEvents);
  if (!log_weights_.empty()) {
    report.uncorrected_nll_per_token = EstimateOf(kUncorrectedNll, kTargets);
  }
  const auto add = [&](const char* name, std::size_t column, std::size_t code_column) {
    report.baselines.push_back({name, EstimateOf(column, kTargets), sums_->Ratio(column, kEvents),
                                sums_->Ratio(code_column, kEvents)});
  };
  add("unigram", kUnigramNll, kCodeUnigramNll);
  add("copy_last", kCopyLastNll, kCodeCopyLastNll);
  add("bigram", kBigramNll, kCodeBigramNll);
  add("trigram", kTrigramNll, kCodeTrigramNll);
  report.copy_last_top1 = sums_->Ratio(kCopyLastHits, kTargets);
}

void Evaluation::FillParts(EvaluationReport& report) const {
  for (std::size_t kind = 0; kind < static_cast<std::size_t>(kNumTokenKinds); ++kind) {
    const std::size_t column = kKindColumns + 3 * kind;
    const double targets = sums_->Total(column);
    if (targets == 0) continue;
    report.by_kind.push_back({std::string(NameOf(static_cast<TokenKind>(kind))),
                              std::llround(targets), sums_->Ratio(column + 1, column),
                              sums_->Ratio(column + 2, column)});
  }
  for (std::size_t range = 0; range < kContextRanges; ++range) {
    const std::size_t column = kContextColumns + 2 * range;
    const double targets = sums_->Total(column);
    if (targets == 0) continue;
    const std::int64_t from = range == 0 ? 0 : std::int64_t{1} << (range - 1);
    const std::int64_t to = range + 1 == kContextRanges ? run_.experiment.data.context_length
                                                        : std::int64_t{1} << range;
    report.by_context.push_back(
        {from, std::max(to, from + 1), std::llround(targets), sums_->Ratio(column + 1, column)});
  }
  const double events = sums_->Total(kEvents);
  const double first = sums_->Total(kFirstEvents);
  const double first_nll = sums_->Total(kFirstCodeNll);
  report.first_occurrences = {std::llround(first), first_nll / first};
  report.repeats = {std::llround(events - first),
                    (sums_->Total(kCodeNll) - first_nll) / (events - first)};
}

// bigram - model and bigram - oracle, by subject.
RatioSums ExplainedSums(const SubjectSums& sums) {
  RatioSums ratio;
  for (std::int64_t s = 0; s < sums.num_subjects(); ++s) {
    ratio.numerator.push_back(sums.Of(s, kBigramNll) - sums.Of(s, kNll));
    ratio.denominator.push_back(sums.Of(s, kBigramNll) - sums.Of(s, kOracleNll));
  }
  return ratio;
}

void Evaluation::FillTruth(EvaluationReport& report) const {
  report.oracle_absence = oracle_absence_;
  if (!oracle_) return;
  report.oracle_nll_per_token = EstimateOf(kOracleNll, kTargets);
  report.oracle_nll_per_event = sums_->Ratio(kOracleNll, kEvents);
  report.oracle_ratio = EstimateOf(kNll, kOracleNll);
  const RatioSums explained = ExplainedSums(*sums_);
  report.explained_fraction = {(sums_->Total(kBigramNll) - sums_->Total(kNll)) /
                                   (sums_->Total(kBigramNll) - sums_->Total(kOracleNll)),
                               BootstrapIntervals(std::span(&explained, 1), kBootstrapSeed)[0]};
  const auto subjects = static_cast<double>(report.subjects);
  for (std::size_t o = 0; o < oracle_->outcomes().size(); ++o) {
    const std::size_t column = kOutcomeColumns + 3 * o;
    report.outcomes.push_back({oracle_->outcomes()[o].code, std::llround(sums_->Total(column)),
                               sums_->Total(column + 1) / subjects,
                               sums_->Total(column + 2) / subjects});
  }
}

EvaluationReport Evaluation::Run() {
  const Stopwatch watch;
  ScoreModel();
  ScoreBaselines();
  sums_->AddOverRanks(communicator_);
  EvaluationReport report;
  report.run = run_.folder.string();
  report.store = store_.folder().string();
  report.split = NameOf(request_.split);
  report.checkpoint_step = weights_.step;
  report.checkpoint_choice = weights_.choice;
  report.subjects = windows_.account().subjects;
  report.windows = num_windows_;
  report.targets = std::llround(sums_->Total(kTargets));
  report.events = std::llround(sums_->Total(kEvents));
  SEQUELA_CHECK(sums_->Total(kTargets) == sums_->Total(kBaselineTargets),
                "windows hold {} targets, chains {}", sums_->Total(kTargets),
                sums_->Total(kBaselineTargets));
  FillComparisons(report);
  FillParts(report);
  FillTruth(report);
  report.seconds = watch.Seconds();
  return report;
}

}  // namespace

EvaluationReport Evaluate(const StoredRun& run, const EvaluationRequest& request, World& world) {
  return Evaluation(run, request, world).Run();
}

}  // namespace sequela
