// In three phases: Evaluation opens what it needs, the model and the baselines are scored into sums by
// subject (scoring/evaluation_columns.h), and the sums of all ranks become the report
// (scoring/fill_report.h).
#include "trainer/evaluation/evaluate.h"

#include <algorithm>
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
#include "trainer/evaluation/scoring/evaluation_columns.h"
#include "trainer/evaluation/scoring/fill_report.h"
#include "trainer/evaluation/scoring/outcome_excess.h"
#include "trainer/evaluation/scoring_pass.h"
#include "trainer/experiment/decoder_settings.h"
#include "trainer/experiment/open_device.h"
#include "trainer/experiment/run_weights.h"
#include "trainer/model/decoder.h"

namespace sequela {
namespace {

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

// The truth of simulated records, where the store has one that the closed forms cover.
struct Truth {
  explicit Truth(const ChainStore& store) {
    if (!SimulatorOracle::Exists(store)) return;
    try {
      oracle = SimulatorOracle::ForStore(store);
      excess = std::make_unique<OutcomeExcess>(store, *oracle);
    } catch (const InputError& error) {
      absence = error.what();
    }
  }
  std::vector<std::string> OutcomeCodes() const {
    std::vector<std::string> codes;
    if (!oracle) return codes;
    for (const SimulatorOracle::Outcome& outcome : oracle->outcomes())
      codes.push_back(outcome.code);
    return codes;
  }

  std::optional<SimulatorOracle> oracle;
  std::unique_ptr<OutcomeExcess> excess;
  std::string absence;  // a setting that is not covered
};

// For every event of a chain whether its code is there for the first time.
std::vector<std::uint8_t> FirstOccurrences(const ChainView& chain) {
  std::vector<std::uint8_t> is_first;
  std::unordered_set<std::uint32_t> seen;
  for (const std::uint32_t code : chain.code) {
    is_first.push_back(code != kNoCode && seen.insert(code).second ? 1 : 0);
  }
  return is_first;
}

// One evaluation's opened parts and its sums.
class Evaluation : public TargetVisitor {
 public:
  Evaluation(const StoredRun& run, const EvaluationRequest& request, World& world);
  EvaluationReport Run();

 private:
  void BeginWindow(std::int64_t subject, const ChainView& chain) override;
  void Add(const ScoredTarget& target) override;
  void EndBatch(const EvaluationBatch& batch) override;  // the model's outcomes beside the truth
  void ScoreBaselines();
  void AddTokenBaseline(std::int64_t row, const ChainView& chain, const NgramModel& model);
  void AddCodeBaseline(std::int64_t row, const ChainView& chain, const NgramModel& model);
  void AddOracle(std::int64_t row, const ChainView& chain);
  EvaluationReport Report() const;

  const StoredRun& run_;
  const EvaluationRequest& request_;
  Communicator& communicator_;
  std::shared_ptr<Device> device_;
  ChainStore store_;
  RunWeights weights_;
  EvaluationWindows windows_;
  CodeGroups groups_;
  std::vector<float> log_weights_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<FlatBuffers> buffers_;
  Truth truth_;
  SplitSubjects subjects_;
  EvaluationColumns columns_;
  SubjectSums sums_;

  std::int64_t row_ = 0;                // of the window that is being read
  std::vector<std::uint8_t> is_first_;  // by position in its chain
  std::vector<float> logits_;
};

Evaluation::Evaluation(const StoredRun& run, const EvaluationRequest& request, World& world)
    : run_(run),
      request_(request),
      communicator_(world.communicator()),
      device_(OpenDevice(DeviceFor(run), world)),
      store_(OpenStoreOf(run, request)),
      weights_(OpenWeightsOf(run, request, store_.vocabulary(), communicator_)),
      windows_(store_, WindowOptionsOf(run, request)),
      groups_(store_.vocabulary()),
      truth_(store_),
      subjects_(store_, request.split),
      columns_(truth_.OutcomeCodes().size()),
      sums_(subjects_.size(), columns_.count()) {
  for (const float weight : run.identity.target_weights) log_weights_.push_back(std::log(weight));
  DecoderOptions options = DecoderOptionsOf(run.experiment, world);
  options.max_tokens = WindowOptionsOf(run, request).microbatch_tokens;
  options.with_backward = false;
  decoder_ = std::make_unique<Decoder>(weights_.model->config(), options, *device_);
  buffers_ =
      std::make_unique<FlatBuffers>(decoder_->table(), options.compute_dtype, false, *device_);
  weights_.model->weights().ReadAll(*buffers_);
  weights_.model.reset();
}

// --- the model ---

void Evaluation::BeginWindow(std::int64_t subject, const ChainView& chain) {
  row_ = subjects_.row_of[static_cast<std::size_t>(subject)];
  is_first_ = FirstOccurrences(chain);
}

void Evaluation::Add(const ScoredTarget& target) {
  const bool is_first = is_first_[static_cast<std::size_t>(target.position)] != 0;
  columns_.target.Add(sums_, row_, target, is_first);
  columns_.by_kind.Add(sums_, row_, target, store_.vocabulary()[target.token()].kind);
  columns_.by_context.Add(sums_, row_, target);
}

void Evaluation::EndBatch(const EvaluationBatch& batch) {
  if (!truth_.excess) return;
  logits_.resize(batch.batch.token.size() *
                 static_cast<std::size_t>(decoder_->config().vocab_size));
  decoder_->Logits(*buffers_, batch.batch, logits_);
  truth_.excess->Add(batch, logits_, log_weights_, subjects_.row_of, columns_.outcome, sums_);
}

// --- the baselines and the truth ---

void Evaluation::ScoreBaselines() {
  const NgramModel tokens = FitTokenBaseline(store_);
  const NgramModel codes = FitCodeBaseline(store_, groups_);
  for (std::int64_t row = communicator_.rank(); row < subjects_.size();
       row += communicator_.size()) {
    const ChainView chain = store_.checked_chain(subjects_.index[static_cast<std::size_t>(row)]);
    AddTokenBaseline(row, chain, tokens);
    AddCodeBaseline(row, chain, codes);
    if (truth_.oracle) AddOracle(row, chain);
  }
}

void Evaluation::AddTokenBaseline(std::int64_t row, const ChainView& chain,
                                  const NgramModel& model) {
  const SymbolSequence sequence = TokenSequence(store_.vocabulary(), chain);
  for (std::size_t i = 0; i < sequence.symbol.size(); ++i) {
    if (sequence.is_target[i] == 0) continue;
    columns_.baseline.AddToken(sums_, row, model.At(sequence, static_cast<std::int64_t>(i)),
                               sequence.last[i] == sequence.symbol[i]);
  }
}

void Evaluation::AddCodeBaseline(std::int64_t row, const ChainView& chain,
                                 const NgramModel& model) {
  const SymbolSequence sequence = CodeSequence(store_.vocabulary(), groups_, chain);
  for (std::size_t i = 0; i < sequence.symbol.size(); ++i) {
    if (sequence.is_target[i] == 0) continue;
    columns_.baseline.AddCode(sums_, row, model.At(sequence, static_cast<std::int64_t>(i)));
  }
}

void Evaluation::AddOracle(std::int64_t row, const ChainView& chain) {
  std::vector<double> log_probability;
  truth_.oracle->LogProbabilities(chain, &log_probability);
  for (const double value : log_probability) {
    if (!std::isnan(value)) sums_.Add(row, columns_.oracle_nll, -value);
  }
}

// --- the report ---

EvaluationReport Evaluation::Report() const {
  EvaluationReport report;
  report.run = run_.folder.string();
  report.store = store_.folder().string();
  report.split = NameOf(request_.split);
  report.checkpoint_step = weights_.step;
  report.checkpoint_choice = weights_.choice;
  report.subjects = windows_.account().subjects;
  report.windows = windows_.account().windows;
  const EvaluationSums evaluation{columns_, sums_};
  FillComparisons(evaluation, !log_weights_.empty(), report);
  FillParts(evaluation, run_.experiment.data.context_length, report);
  report.oracle_absence = truth_.absence;
  if (truth_.oracle) FillTruth(evaluation, truth_.OutcomeCodes(), report);
  return report;
}

EvaluationReport Evaluation::Run() {
  const Stopwatch watch;
  ScoreTargets(*decoder_, *buffers_, communicator_, store_, windows_,
               {.log_class_weight = log_weights_, .group_of_token = groups_.group_of_token}, *this);
  ScoreBaselines();
  sums_.AddOverRanks(communicator_);
  SEQUELA_CHECK(sums_.Total(columns_.target.targets) == sums_.Total(columns_.baseline.targets),
                "windows hold {} targets, chains {}", sums_.Total(columns_.target.targets),
                sums_.Total(columns_.baseline.targets));
  EvaluationReport report = Report();
  report.seconds = watch.Seconds();
  return report;
}

}  // namespace

EvaluationReport Evaluate(const StoredRun& run, const EvaluationRequest& request, World& world) {
  return Evaluation(run, request, world).Run();
}

}  // namespace sequela
