// Checks the arguments of the rowwise operations, for every backend alike, and chooses the backend.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/int_math.h"
#include "kernels/cpu/rowwise.h"
#include "kernels/cuda/rowwise.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela {
namespace {

// What the checks below may read: on CUDA the arguments' memory is the device's.
bool HostReads(const Exec& exec) { return exec.backend == Backend::kCpu; }

// Runs one backend's version of an operation whose arguments were checked.
template <typename Args>
void Run(const Exec& exec, const Args& args, void (*on_cpu)(const Exec&, const Args&),
         void (*on_cuda)(const Exec&, const Args&)) {
  SEQUELA_CHECK(exec.num_threads >= 1, "{} threads", exec.num_threads);
  (exec.backend == Backend::kCuda ? on_cuda : on_cpu)(exec, args);
}

bool IsFloating(DType dtype) { return dtype == DType::kFloat32 || dtype == DType::kBFloat16; }

void RequireShape(const ConstTensorView& view, std::int64_t rows, std::int64_t columns,
                  const char* name) {
  SEQUELA_CHECK(view.rows == rows && view.columns == columns && view.stride >= view.columns,
                "{}: [{}, {}] of stride {}, expected [{}, {}]", name, view.rows, view.columns,
                view.stride, rows, columns);
  SEQUELA_CHECK(IsFloating(view.dtype), "{} must be fp32 or bf16", name);
  SEQUELA_CHECK(view.data != nullptr || view.empty(), "{} has no memory", name);
}
void RequireDType(const ConstTensorView& view, DType dtype, const char* name) {
  SEQUELA_CHECK(view.dtype == dtype, "{} has the wrong element type", name);
}
template <typename T>
void RequireSize(std::span<T> values, std::int64_t size, const char* name) {
  SEQUELA_CHECK(std::ssize(values) == size, "{}: {} elements, expected {}", name, values.size(),
                size);
}
void RequireDocuments(std::span<const std::int32_t> document_begin, std::int64_t tokens) {
  SEQUELA_CHECK(!document_begin.empty() && document_begin.front() == 0 &&
                    document_begin.back() == tokens && std::ranges::is_sorted(document_begin),
                "documents must cover the {} tokens in order", tokens);
}

// Workspace of this many floats, cut in one piece.
std::int64_t FloatBytes(std::int64_t count) {
  WorkspaceCarver carver;
  carver.Take<float>(count);
  return carver.used_bytes();
}

}  // namespace

void EmbeddingForward(const Exec& exec, const EmbeddingForwardArgs& args) {
  RequireSize(args.token, args.out_TD.rows, "token");
  RequireShape(args.out_TD, args.out_TD.rows, args.table_VD.columns, "out");
  RequireShape(args.table_VD, args.table_VD.rows, args.table_VD.columns, "table");
  RequireDType(args.out_TD, args.table_VD.dtype, "out");
  SEQUELA_CHECK(!HostReads(exec) || std::ranges::all_of(args.token, [&](std::int32_t t) {
    return t >= 0 && t < args.table_VD.rows;
  }));
  Run(exec, args, cpu::EmbeddingForward, cuda::EmbeddingForward);
}

std::int64_t EmbeddingBackwardWorkspaceBytes(std::int64_t max_tokens, std::int64_t channels) {
  // A token with partial sums has more than one piece's worth of positions.
  return FloatBytes(2 * CeilDiv(max_tokens, EmbeddingPlan::kPiecePositions) * channels);
}

void EmbeddingBackward(const Exec& exec, const EmbeddingBackwardArgs& args) {
  SEQUELA_CHECK(args.plan != nullptr);
  RequireShape(args.d_out_TD, args.plan->num_tokens(), args.d_table_VD.columns, "d_out");
  RequireShape(args.d_table_VD, args.d_table_VD.rows, args.d_table_VD.columns, "d_table");
  RequireDType(args.d_table_VD, DType::kFloat32, "d_table");
  SEQUELA_CHECK(args.plan->pieces().empty() ||
                args.plan->pieces().back().token < args.d_table_VD.rows);
  SEQUELA_CHECK(HostReads(exec) || args.plan_image != nullptr || args.plan->num_tokens() == 0,
                "the plan's image is missing");
  Run(exec, args, cpu::EmbeddingBackward, cuda::EmbeddingBackward);
}

void RmsNormForward(const Exec& exec, const RmsNormForwardArgs& args) {
  const auto size = std::ssize(args.gain);
  SEQUELA_CHECK(size > 0 && args.x.columns % size == 0, "{} columns, {} gains", args.x.columns,
                size);
  RequireShape(args.x, args.x.rows, args.x.columns, "x");
  RequireShape(args.y, args.x.rows, args.x.columns, "y");
  if (!args.rstd.empty()) RequireSize(args.rstd, args.x.rows * (args.x.columns / size), "rstd");
  if (args.residual_in.data == nullptr) {
    SEQUELA_CHECK(args.residual_out.data == nullptr, "residual_out without residual_in");
  } else {
    RequireShape(args.residual_in, args.x.rows, args.x.columns, "residual_in");
    RequireShape(args.residual_out, args.x.rows, args.x.columns, "residual_out");
    RequireDType(args.residual_out, args.residual_in.dtype, "residual_out");
    RequireDType(args.y, args.x.dtype, "y");
  }
  Run(exec, args, cpu::RmsNormForward, cuda::RmsNormForward);
}

std::int64_t RmsNormBackwardWorkspaceBytes(std::int64_t max_rows, std::int64_t gain_size) {
  // Enough for either backend.
  constexpr std::int64_t kPartialRows = std::min(cpu::kPartialRows, cuda::kPartialRows);
  return FloatBytes(CeilDiv(max_rows, kPartialRows) * gain_size);
}

void RmsNormBackward(const Exec& exec, const RmsNormBackwardArgs& args) {
  const auto size = std::ssize(args.gain);
  const std::int64_t rows = args.d_y.rows;
  const std::int64_t columns = args.d_y.columns;
  SEQUELA_CHECK(size > 0 && columns % size == 0, "{} columns, {} gains", columns, size);
  RequireShape(args.d_y, rows, columns, "d_y");
  RequireShape(args.input, rows, columns, "input");
  RequireShape(args.d_input, rows, columns, "d_input");
  RequireDType(args.d_input, args.input.dtype, "d_input");
  if (args.d_residual.data != nullptr) {
    RequireShape(args.d_residual, rows, columns, "d_residual");
    RequireDType(args.d_residual, args.input.dtype, "d_residual");
  }
  RequireSize(args.rstd, rows * (columns / size), "rstd");
  RequireSize(args.d_gain, size, "d_gain");
  Run(exec, args, cpu::RmsNormBackward, cuda::RmsNormBackward);
}

std::int64_t TimePairs(std::int64_t head_dim, double fraction) {
  return std::lround(fraction * static_cast<double>(head_dim / 2));
}

void BuildTimeRopeTable(const Exec& exec, const TimeRopeSettings& settings,
                        const TimeRopeTableArgs& args) {
  const std::int64_t pairs = settings.head_dim / 2;
  const std::int64_t tokens = args.cos_TP.rows;
  SEQUELA_CHECK(settings.head_dim % 2 == 0 && settings.head_dim <= kMaxRopeHeadDim, "head_dim {}",
                settings.head_dim);
  SEQUELA_CHECK(settings.num_time_pairs >= 0 && settings.num_time_pairs <= pairs);
  RequireShape(args.cos_TP, tokens, pairs, "cos");
  RequireShape(args.sin_TP, tokens, pairs, "sin");
  RequireSize(args.position, tokens, "position");
  if (settings.num_time_pairs > 0) {
    RequireSize(args.time_us, tokens, "time_us");
    RequireDocuments(args.document_begin, tokens);
    // Static facts have no time of their own; the batch gives them the window's first.
    SEQUELA_CHECK(std::ranges::find(args.time_us, std::numeric_limits<std::int64_t>::min()) ==
                  args.time_us.end());
  }
  cpu::BuildTimeRopeTable(exec, settings, args);
}

namespace {

void CheckTimeRope(const TimeRopeArgs& args) {
  const std::int64_t pairs = args.cos_TP.columns;
  SEQUELA_CHECK(pairs > 0 && args.x_TNH.columns % (2 * pairs) == 0, "{} columns, {} pairs",
                args.x_TNH.columns, pairs);
  RequireShape(args.x_TNH, args.x_TNH.rows, args.x_TNH.columns, "x");
  RequireShape(args.cos_TP, args.x_TNH.rows, pairs, "cos");
  RequireShape(args.sin_TP, args.x_TNH.rows, pairs, "sin");
}

}  // namespace

void TimeRopeForward(const Exec& exec, const TimeRopeArgs& args) {
  CheckTimeRope(args);
  Run(exec, args, cpu::TimeRopeForward, cuda::TimeRopeForward);
}

void TimeRopeBackward(const Exec& exec, const TimeRopeArgs& args) {
  CheckTimeRope(args);
  Run(exec, args, cpu::TimeRopeBackward, cuda::TimeRopeBackward);
}

void SwigluForward(const Exec& exec, const SwigluForwardArgs& args) {
  const ConstTensorView out = args.out_TF;
  RequireShape(out, out.rows, out.columns, "out");
  RequireShape(args.gate_up_T2F, out.rows, 2 * out.columns, "gate_up");
  RequireDType(args.gate_up_T2F, out.dtype, "gate_up");
  Run(exec, args, cpu::SwigluForward, cuda::SwigluForward);
}

void SwigluBackward(const Exec& exec, const SwigluBackwardArgs& args) {
  const ConstTensorView& d_out = args.d_out_TF;
  RequireShape(d_out, d_out.rows, d_out.columns, "d_out");
  RequireShape(args.gate_up_T2F, d_out.rows, 2 * d_out.columns, "gate_up");
  RequireShape(args.d_gate_up_T2F, d_out.rows, 2 * d_out.columns, "d_gate_up");
  RequireDType(args.gate_up_T2F, d_out.dtype, "gate_up");
  RequireDType(args.d_gate_up_T2F, d_out.dtype, "d_gate_up");
  Run(exec, args, cpu::SwigluBackward, cuda::SwigluBackward);
}

void BiasForward(const Exec& exec, const BiasForwardArgs& args) {
  RequireShape(args.x_TD, args.x_TD.rows, std::ssize(args.bias), "x");
  Run(exec, args, cpu::BiasForward, cuda::BiasForward);
}

std::int64_t BiasBackwardWorkspaceBytes(std::int64_t max_rows, std::int64_t channels) {
  return RmsNormBackwardWorkspaceBytes(max_rows, channels);
}

void BiasBackward(const Exec& exec, const BiasBackwardArgs& args) {
  RequireShape(args.d_x_TD, args.d_x_TD.rows, std::ssize(args.d_bias), "d_x");
  Run(exec, args, cpu::BiasBackward, cuda::BiasBackward);
}

void Dropout(const Exec& exec, const DropoutArgs& args) {
  RequireShape(args.x_TC, args.x_TC.rows, args.x_TC.columns, "x");
  RequireShape(args.out_TC, args.x_TC.rows, args.x_TC.columns, "out");
  RequireDType(args.out_TC, args.x_TC.dtype, "out");
  RequireSize(args.position, args.x_TC.rows, "position");
  if (HostReads(exec)) RequireDocuments(args.document_begin, args.x_TC.rows);
  RequireSize(args.sample, std::ssize(args.document_begin) - 1, "sample");
  SEQUELA_CHECK(args.rate >= 0.0 && args.rate < 1.0, "rate {}", args.rate);
  Run(exec, args, cpu::Dropout, cuda::Dropout);
}

void Adamw(const Exec& exec, const AdamwArgs& args) {
  const auto size = std::ssize(args.master);
  RequireSize(args.m, size, "m");
  RequireSize(args.v, size, "v");
  RequireSize(args.gradient, size, "gradient");
  if (!args.weights.empty()) RequireSize(args.weights, size, "weights");
  SEQUELA_CHECK(args.bias_correction1 > 0.0 && args.bias_correction2 > 0.0);
  Run(exec, args, cpu::Adamw, cuda::Adamw);
}

void TileSquareSums(const Exec& exec, const TileSquareSumsArgs& args) {
  RequireSize(args.partials, CeilDiv(std::ssize(args.x), kNormTile), "partials");
  Run(exec, args, cpu::TileSquareSums, cuda::TileSquareSums);
}

std::int64_t FirstNonFiniteElement(std::span<const float> x) {
  const auto found = std::ranges::find_if(x, [](float value) { return !std::isfinite(value); });
  return found == x.end() ? -1 : found - x.begin();
}

void Cast(const Exec& exec, const CastArgs& args) {
  RequireShape(args.from, args.to.rows, args.to.columns, "from");
  RequireShape(args.to, args.to.rows, args.to.columns, "to");
  Run(exec, args, cpu::Cast, cuda::Cast);
}

void Add(const Exec& exec, const AddArgs& args) {
  RequireShape(args.a, args.out.rows, args.out.columns, "a");
  RequireShape(args.b, args.out.rows, args.out.columns, "b");
  RequireShape(args.out, args.out.rows, args.out.columns, "out");
  RequireDType(args.out, args.a.dtype, "out");
  Run(exec, args, cpu::Add, cuda::Add);
}

void FillZero(const Exec& exec, const FillZeroArgs& args) {
  SEQUELA_CHECK(args.x.stride >= args.x.columns);
  Run(exec, args, cpu::FillZero, cuda::FillZero);
}

}  // namespace sequela
