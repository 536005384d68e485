#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/base/atomic_file.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "runtime/checkpoint.h"
#include "runtime/checkpoint/background_task.h"
#include "runtime/checkpoint/snapshot.h"
#include "runtime/checkpoint/state_file.h"
#include "runtime/file_watchdog.h"
#include "runtime/log.h"
#include "runtime/step_timer.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPartial = ".partial";
constexpr const char* kDeleting = ".deleting";
// An empty file in a folder of these two names: only a folder that has it is ours to remove.
constexpr const char* kMarker = ".sequela-checkpoint";
constexpr auto kPollInterval = std::chrono::microseconds(200);

void Mark(const fs::path& folder) {
  const fs::path marker = folder / kMarker;
  const int fd = ::open(marker.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    throw MachineError("{}: cannot create: {}", marker.string(),
                       std::generic_category().message(errno));
  }
  ::close(fd);
}

bool IsMarked(const fs::path& folder) {
  std::error_code error;
  return fs::symlink_status(folder, error).type() == fs::file_type::directory &&
         fs::exists(folder / kMarker, error);
}

// Every rank comes here; who is second finds the folder.
void MakeFolder(const fs::path& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    throw MachineError("{}: cannot create this folder: {}", folder.string(),
                       std::generic_category().message(errno));
  }
  Mark(folder);
}

void Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) {
    throw MachineError("{}: cannot rename to {}: {}", from.string(), to.string(), error.message());
  }
}

// First out of the way of its name, so that an interruption leaves no half checkpoint.
void Delete(const fs::path& checkpoint) {
  std::error_code error;
  if (fs::is_symlink(checkpoint, error)) {
    LogWarning("{}: a link, which is left alone", checkpoint.string());
    return;
  }
  const fs::path aside = checkpoint.string() + kDeleting;
  Mark(checkpoint);
  Rename(checkpoint, aside);
  RemoveMarkedFolder(aside, kMarker);
  if (fs::exists(aside, error)) LogWarning("{}: cannot be deleted", aside.string());
}

// What an interrupted run left. Throws InputError where something that is not ours has a name that
// this run will need.
void RemoveLeftovers(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const fs::path extension = entry.path().extension();
    if (extension != kPartial && extension != kDeleting) continue;
    if (IsMarked(entry.path())) {
      leftovers.push_back(entry.path());
    } else if (IsCheckpointName(entry.path().stem().string()) &&
               (fs::symlink_status(entry.path(), error).type() != fs::file_type::directory ||
                !fs::is_empty(entry.path(), error))) {
      throw InputError(
          "{}: checkpoints are written under this name, and what lies there was not made by "
          "sequela train (it has no file {}). Nothing was removed. Move it away",
          entry.path().string(), kMarker);
    }
  }
  for (const fs::path& path : leftovers) RemoveMarkedFolder(path, kMarker);
}

// What rank 0 does once every rank's files are written.
struct Publication {
  CheckpointOptions options;
  CheckpointState state;
  fs::path partial;
  fs::path final_folder;

  void Publish() const {
    const FileWork work(options.watchdog, fmt::format("completing {}", final_folder.string()));
    WriteText(partial / kStateFile, StateToJson(state));
    SyncPath(partial);
    // Only a damaged checkpoint of this step can be here (Start leaves a whole one alone).
    if (PathExists(final_folder)) Delete(final_folder);
    Rename(partial, final_folder);
    std::error_code ignored;  // a marker that stays is harmless
    fs::remove(final_folder / kMarker, ignored);
    SyncPath(options.folder);
    try {
      CheckFiles(final_folder, ReadState(final_folder).files);
    } catch (const InputError& error) {
      throw MachineError("a checkpoint just written reads back wrong: {}", error.what());
    }
    DeleteOld();
  }

  void DeleteOld() const {
    std::int64_t newer = 0;
    for (const auto& [step, path] : ListCheckpoints(options.folder)) {
      if (step > state.step) continue;  // damaged, or this run would have begun there
      const bool keep = newer++ < options.keep_last || step == state.best_step ||
                        (options.keep_every > 0 && step % options.keep_every == 0);
      if (!keep) Delete(path);
    }
  }
};

}  // namespace

struct CheckpointWriter::Impl {
  // In this order; all ranks go through all of them, each when it comes by.
  enum class Phase { kIdle, kWriting, kCollecting, kPublishing, kLeaving };
  // What a rank tells the others of each of its files.
  struct FileRecord {
    std::int64_t size_bytes;
    std::int64_t crc32c;
  };

  Impl(ShardedOptimizer& optimizer_in, Communicator& parent, CheckpointOptions options_in)
      : optimizer(optimizer_in),
        options(std::move(options_in)),
        communicator(parent.Duplicate("checkpoints")),
        files(optimizer.buffers().table(), optimizer.buffers().compute_dtype(), parent.size(),
              options.model_file_bytes),
        snapshot(optimizer, files, parent.rank(), parent.size()) {
    SEQUELA_CHECK(options.keep_last >= 1, "{}", options.keep_last);
    record_offsets.push_back(0);
    for (int rank = 0; rank < communicator->size(); ++rank) {
      const auto count = static_cast<std::int64_t>(files.NamesOf(rank).size());
      record_offsets.push_back(record_offsets.back() +
                               count * static_cast<std::int64_t>(sizeof(FileRecord)));
    }
    records.resize(static_cast<std::size_t>(record_offsets.back()) / sizeof(FileRecord));
    if (is_root()) PrepareFolder();
    communicator->Barrier();
  }

  bool is_root() const { return communicator->rank() == 0; }

  void PrepareFolder() const {
    MakeFolders(options.folder);
    if (fs::is_symlink(options.folder)) {
      throw InputError(
          "{}: a link, and links in a run folder are not followed for writing. Where checkpoints "
          "shall lie elsewhere, keep the whole run there and make its folder the link",
          options.folder.string());
    }
    RemoveLeftovers(options.folder);
  }

  fs::path FinalFolder() const { return options.folder / CheckpointName(contents.step); }
  fs::path PartialFolder() const { return FinalFolder().string() + kPartial; }

  // The same answer on every rank.
  bool ExistsWhole(std::int64_t step) {
    std::byte exists{0};
    const fs::path folder = options.folder / CheckpointName(step);
    const FileWork work(options.watchdog, fmt::format("looking for {}", folder.string()));
    if (is_root() && PathExists(folder)) {
      try {
        OpenCheckpoint(folder);
        exists = std::byte{1};
      } catch (const InputError& error) {
        LogWarning("{}; this checkpoint is written again", error.what());
      }
    }
    communicator->Broadcast({&exists, 1}, 0);
    return exists != std::byte{0};
  }

  void Start(CheckpointContents contents_in) {
    const ScopedTimer timer(wait_seconds);
    WaitUntilIdle();
    if (ExistsWhole(contents_in.step)) {
      last_whole_step = contents_in.step;
      return;
    }
    contents = std::move(contents_in);
    num_updates = optimizer.num_updates();
    snapshot.Take();
    phase = Phase::kWriting;
    task.Run([this] { WriteFiles(); });
  }

  // On the thread.
  void WriteFiles() {
    const fs::path folder = PartialFolder();
    const FileWork work(options.watchdog, fmt::format("writing {}", folder.string()));
    MakeFolder(folder);
    written = snapshot.Write(folder);
    if (!is_root()) return;
    text_files.clear();
    for (const auto& [name, text] : contents.text_files) {
      text_files.push_back(WriteText(folder / name, text));
    }
    const std::string index =
        files.Index(optimizer.buffers().table(), optimizer.buffers().compute_dtype());
    if (!index.empty()) {
      text_files.push_back(WriteText(folder / "model.safetensors.index.json", index));
    }
  }

  void Poll() {
    switch (phase) {
      case Phase::kIdle:
        return;
      case Phase::kWriting:
        if (!task.done()) return;
        task.Join();
        StartCollecting();
        return;
      case Phase::kCollecting:
        if (!communicator->Done(request)) return;
        if (is_root()) {
          task.Run([publication = MakePublication()] { publication.Publish(); });
          phase = Phase::kPublishing;
        } else {
          StartLeaving();
        }
        return;
      case Phase::kPublishing:
        if (!task.done()) return;
        task.Join();
        StartLeaving();
        return;
      case Phase::kLeaving:
        if (!communicator->Done(request)) return;
        last_whole_step = contents.step;
        phase = Phase::kIdle;
        return;
    }
  }

  void StartCollecting() {
    const auto mine = static_cast<std::size_t>(communicator->rank());
    FileRecord* out =
        records.data() + static_cast<std::size_t>(record_offsets[mine]) / sizeof(FileRecord);
    for (const WrittenFile& file : written) *out++ = {file.size_bytes, file.crc32c};
    request =
        communicator->StartAllGather(std::as_writable_bytes(std::span(records)), record_offsets);
    phase = Phase::kCollecting;
  }

  void StartLeaving() {
    request = communicator->StartBarrier();
    phase = Phase::kLeaving;
  }

  Publication MakePublication() {
    const FlatBuffers& buffers = optimizer.buffers();
    CheckpointState state{.step = contents.step,
                          .best_step = contents.best_step,
                          .num_updates = num_updates,
                          .world_size = communicator->size(),
                          .zero_stage = optimizer.zero_stage(),
                          .compute_dtype = std::string(SafetensorsName(buffers.compute_dtype())),
                          .num_elements = buffers.table().num_elements(),
                          .parameters = buffers.table().pieces(),
                          .files = text_files,
                          .trainer_state = contents.trainer_state};
    auto record = records.cbegin();
    for (int rank = 0; rank < communicator->size(); ++rank) {
      for (std::string& name : files.NamesOf(rank)) {
        state.files.push_back(
            {std::move(name), record->size_bytes, static_cast<std::uint32_t>(record->crc32c)});
        ++record;
      }
    }
    return {options, std::move(state), PartialFolder(), FinalFolder()};
  }

  void WaitUntilIdle() {
    while (phase != Phase::kIdle) {
      Poll();
      if (phase != Phase::kIdle) std::this_thread::sleep_for(kPollInterval);
    }
  }

  ShardedOptimizer& optimizer;
  CheckpointOptions options;
  std::unique_ptr<Communicator> communicator;
  CheckpointFiles files;
  Snapshot snapshot;
  Phase phase = Phase::kIdle;
  CheckpointContents contents;
  std::int64_t num_updates = 0;
  std::vector<WrittenFile> written;     // by this rank's thread
  std::vector<WrittenFile> text_files;  // by rank 0's thread
  std::vector<FileRecord> records;      // of all ranks
  std::vector<std::int64_t> record_offsets;
  CommRequest request;
  std::int64_t last_whole_step = -1;
  double wait_seconds = 0;
  BackgroundTask task;  // last: its thread uses the others, and is joined before they go
};

CheckpointWriter::CheckpointWriter(ShardedOptimizer& optimizer, Communicator& communicator,
                                   CheckpointOptions options)
    : impl_(std::make_unique<Impl>(optimizer, communicator, std::move(options))) {}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::Start(CheckpointContents contents) { impl_->Start(std::move(contents)); }

void CheckpointWriter::Poll() { impl_->Poll(); }

void CheckpointWriter::Finish() {
  const ScopedTimer timer(impl_->wait_seconds);
  impl_->WaitUntilIdle();
}

bool CheckpointWriter::busy() const { return impl_->phase != Impl::Phase::kIdle; }

std::int64_t CheckpointWriter::last_whole_step() const { return impl_->last_whole_step; }

double CheckpointWriter::TakeWaitSeconds() { return std::exchange(impl_->wait_seconds, 0); }

std::int64_t CheckpointWriter::snapshot_bytes() const { return impl_->snapshot.size_bytes(); }

}  // namespace sequela
