#include "trainer/evaluation/evaluation_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/base/json_text.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

void Put(Json& json, const std::string& name, const Estimate& estimate) {
  json[name] = Number(estimate.value);
  if (std::isfinite(estimate.interval.low)) {
    json[name + "_interval"] = {estimate.interval.low, estimate.interval.high};
  }
}

void PutBaselines(Json& json, const EvaluationReport& report) {
  for (const auto& baseline : report.baselines) {
    Put(json, baseline.name + "_nll_per_token", baseline.nll_per_token);
    json[baseline.name + "_nll_per_event"] = Number(baseline.nll_per_event);
    json[baseline.name + "_code_nll_per_event"] = Number(baseline.code_nll_per_event);
  }
  json["copy_last_top1"] = Number(report.copy_last_top1);
}

void PutOracle(Json& json, const EvaluationReport& report) {
  if (!report.oracle_absence.empty()) json["oracle_absence"] = report.oracle_absence;
  if (!report.oracle_nll_per_token) return;
  Put(json, "oracle_nll_per_token", *report.oracle_nll_per_token);
  json["oracle_nll_per_event"] = Number(report.oracle_nll_per_event);
  Put(json, "oracle_ratio", report.oracle_ratio);
  Put(json, "explained_fraction", report.explained_fraction);
  for (const auto& outcome : report.outcomes) {
    json["outcomes"].push_back({{"code", outcome.code},
                                {"stamps", outcome.stamps},
                                {"excess", Number(outcome.excess)},
                                {"age_sex_excess", Number(outcome.age_sex_excess)}});
  }
}

void PutParts(Json& json, const EvaluationReport& report) {
  json["by_kind"] = Json::object();
  for (const auto& part : report.by_kind) {
    json["by_kind"][part.name] = {{"targets", part.targets},
                                  {"nll_per_token", Number(part.nll_per_token)},
                                  {"top1", Number(part.top1)}};
  }
  const auto occurrences = [](const EvaluationReport::Occurrences& part) {
    return Json{{"events", part.events}, {"code_nll_per_event", Number(part.code_nll_per_event)}};
  };
  json["first_occurrences"] = occurrences(report.first_occurrences);
  json["repeats"] = occurrences(report.repeats);
  json["by_context"] = Json::array();
  for (const auto& part : report.by_context) {
    json["by_context"].push_back({{"from", part.from},
                                  {"to", part.to},
                                  {"targets", part.targets},
                                  {"nll_per_token", Number(part.nll_per_token)}});
  }
}

std::string IntervalText(const Interval& interval) {
  if (!std::isfinite(interval.low)) return "";
  return fmt::format("{:.4f} to {:.4f}", interval.low, interval.high);
}

std::string ComparisonTable(const EvaluationReport& report) {
  std::string table = fmt::format("{:<22}{:>12}{:>12}   {}\n", "", "nats/token", "nats/event",
                                  "95 % of resampled subjects");
  const auto row = [&](const std::string& name, const Estimate& token, double event) {
    table += fmt::format("{:<22}{:>12.4f}{:>12.4f}   {}\n", name, token.value, event,
                         IntervalText(token.interval));
  };
  for (const auto& baseline : report.baselines) {
    row(baseline.name, baseline.nll_per_token, baseline.nll_per_event);
  }
  row("this model", report.nll_per_token, report.nll_per_event.value);
  if (report.oracle_nll_per_token) {
    row("the truth (oracle)", *report.oracle_nll_per_token, report.oracle_nll_per_event);
  }
  return table;
}

std::string TruthTable(const EvaluationReport& report) {
  if (!report.oracle_nll_per_token) return "";
  const auto* bigram = report.FindBaseline("bigram");
  std::string table = fmt::format(
      "\nmodel / oracle {:.4f}   bigram / oracle {:.4f}   explained fraction {:.3f}\n",
      report.oracle_ratio.value,
      bigram == nullptr ? std::nan("")
                        : bigram->nll_per_token.value / report.oracle_nll_per_token->value,
      report.explained_fraction.value);
  table += fmt::format("\n{:<40}{:>18}{:>18}\n", "excess over the truth, nats per subject",
                       "this model", "age and sex only");
  for (const auto& outcome : report.outcomes) {
    table += fmt::format("{:<40.39}{:>18.6f}{:>18.6f}\n", outcome.code, outcome.excess,
                         outcome.age_sex_excess);
  }
  if (!report.outcomes.empty()) {
    table +=
        "excess: how far the probability of each outcome is from the true one (KL\n"
        "divergence, summed over a record). 0 is the truth; less than \"age and sex only\"\n"
        "means that the model learned more from the record than these two.\n";
  }
  return table;
}

std::string PartsTable(const EvaluationReport& report) {
  std::string table =
      fmt::format("\n{:<22}{:>12}{:>12}{:>12}\n", "by kind", "targets", "nats/token", "top-1");
  for (const auto& part : report.by_kind) {
    table += fmt::format("{:<22}{:>12}{:>12.4f}{:>12.4f}\n", part.name, part.targets,
                         part.nll_per_token, part.top1);
  }
  table += fmt::format("\n{:<22}{:>12}{:>12}\n", "by context available", "targets", "nats/token");
  for (const auto& part : report.by_context) {
    table += fmt::format("{:<22}{:>12}{:>12.4f}\n", fmt::format("{} to {}", part.from, part.to - 1),
                         part.targets, part.nll_per_token);
  }
  table += fmt::format("\n{:<22}{:>12}{:>12}\n", "codes, bins added up", "events", "nats/event");
  const auto row = [&](const char* name, std::int64_t events, double nll) {
    table += fmt::format("{:<22}{:>12}{:>12.4f}\n", name, events, nll);
  };
  row("all", report.events, report.code_nll_per_event.value);
  row("first in the record", report.first_occurrences.events,
      report.first_occurrences.code_nll_per_event);
  row("repeats", report.repeats.events, report.repeats.code_nll_per_event);
  if (const auto* bigram = report.FindBaseline("bigram")) {
    row("all, bigram of codes", report.events, bigram->code_nll_per_event);
  }
  return table;
}

}  // namespace

const EvaluationReport::Baseline* EvaluationReport::FindBaseline(const std::string& name) const {
  for (const Baseline& baseline : baselines) {
    if (baseline.name == name) return &baseline;
  }
  return nullptr;
}

std::string ReportToJson(const EvaluationReport& report) {
  Json json;
  json["run"] = report.run;
  json["store"] = report.store;
  json["split"] = report.split;
  json["checkpoint_step"] = report.checkpoint_step;
  json["checkpoint_choice"] = report.checkpoint_choice;
  json["subjects"] = report.subjects;
  json["windows"] = report.windows;
  json["targets"] = report.targets;
  json["events"] = report.events;
  Put(json, "nll_per_token", report.nll_per_token);
  Put(json, "nll_per_event", report.nll_per_event);
  json["perplexity"] = Number(std::exp(report.nll_per_token.value));
  Put(json, "top1", report.top1);
  Put(json, "top5", report.top5);
  Put(json, "top10", report.top10);
  if (report.uncorrected_nll_per_token) {
    Put(json, "uncorrected_nll_per_token", *report.uncorrected_nll_per_token);
  }
  Put(json, "code_nll_per_event", report.code_nll_per_event);
  PutParts(json, report);
  PutBaselines(json, report);
  PutOracle(json, report);
  json["seconds"] = report.seconds;
  return JsonToText(json, 1) + "\n";
}

std::string ReportToTable(const EvaluationReport& report) {
  std::string table = fmt::format(
      "{} split of {}: {} subjects, {} targets, {} events\n"
      "model {} at step {} ({})\n\n",
      report.split, report.store, report.subjects, report.targets, report.events, report.run,
      report.checkpoint_step, report.checkpoint_choice);
  table += ComparisonTable(report);
  table += fmt::format("\nperplexity {:.3f}   top-1 {:.4f}   top-5 {:.4f}   top-10 {:.4f}\n",
                       std::exp(report.nll_per_token.value), report.top1.value, report.top5.value,
                       report.top10.value);
  if (report.uncorrected_nll_per_token) {
    table += fmt::format("without correcting for event-balanced weights: {:.4f} nats/token\n",
                         report.uncorrected_nll_per_token->value);
  }
  if (!report.oracle_absence.empty()) {
    table += fmt::format("no oracle: {}\n", report.oracle_absence);
  }
  return table + TruthTable(report) + PartsTable(report);
}

}  // namespace sequela
