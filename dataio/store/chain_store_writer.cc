#include "dataio/store/chain_store_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <type_traits>
#include <variant>

#include "dataio/base/mapped_file.h"
#include "dataio/store/code_table.h"
#include "dataio/store/hdf5/hdf5_file.h"
#include "dataio/store/manifest.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/check.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::size_t kBufferElements = std::size_t{1} << 17;

// One dataset written from its beginning to its end, with its checksum.
template <typename T>
class Column {
 public:
  using Element = T;

  Column(Hdf5Writer* file, std::string_view path, ElementType type, std::int64_t count)
      : file_(file), path_(path) {
    SEQUELA_CHECK(SizeOf(type) == static_cast<std::int64_t>(sizeof(T)));
    file_->CreateDataset(path_, type, count);
    buffer_.reserve(std::min(kBufferElements, static_cast<std::size_t>(count)));
  }
  void Append(T value) { Append(std::span<const T>(&value, 1)); }
  void Append(std::span<const T> values) {
    while (!values.empty()) {
      const std::size_t count = std::min(values.size(), kBufferElements - buffer_.size());
      buffer_.insert(buffer_.end(), values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(count));
      values = values.subspan(count);
      if (buffer_.size() == kBufferElements) Flush();
    }
  }
  // The dataset's path and checksum, which becomes its attribute.
  std::pair<std::string, std::uint32_t> Finish() {
    Flush();
    file_->SetAttribute(path_, "crc32c", crc_);
    return {path_, crc_};
  }

 private:
  void Flush() {
    file_->Write(path_, written_, buffer_.data(), static_cast<std::int64_t>(buffer_.size()));
    crc_ = ExtendCrc32c(crc_, buffer_.data(), buffer_.size() * sizeof(T));
    written_ += static_cast<std::int64_t>(buffer_.size());
    buffer_.clear();
  }

  Hdf5Writer* file_;
  std::string path_;
  std::vector<T> buffer_;
  std::int64_t written_ = 0;
  std::uint32_t crc_ = 0;
};

// Where the datasets that grow with the tokens lie, ascending.
std::vector<std::pair<std::uint64_t, std::uint64_t>> ChainExtents(const std::filesystem::path& file,
                                                                  const ShardExtras& extras) {
  const Hdf5Reader reader(file);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;
  for (std::size_t i = 0; i < kDatasetPaths.size(); ++i) {
    if (!IsChainDataset(i) || !HasDataset(i, extras)) continue;
    const Hdf5Reader::Dataset dataset = reader.Describe(std::string(kDatasetPaths[i]));
    if (!dataset.file_offset) continue;
    extents.emplace_back(*dataset.file_offset,
                         static_cast<std::uint64_t>(dataset.count * SizeOf(dataset.type)));
  }
  std::sort(extents.begin(), extents.end());
  return extents;
}

}  // namespace

struct ChainShardWriter::Impl {
  using TokenColumn = std::variant<Column<std::uint16_t>, Column<std::uint32_t>>;

  Impl(const std::filesystem::path& path, ShardCounts declared_in, std::int32_t size,
       const std::string& hash, const ShardExtras& extras)
      : declared(declared_in),
        declared_extras(extras),
        vocabulary_size(size),
        file(path),
        token(MakeTokenColumn()),
        time(&file, kDatasetPaths[1], ElementType::kI64, declared.tokens),
        code(&file, kDatasetPaths[2], ElementType::kU32, declared.tokens),
        value(&file, kDatasetPaths[3], ElementType::kF32, declared.tokens),
        id(&file, kDatasetPaths[4], ElementType::kI64, declared.subjects),
        offset(&file, kDatasetPaths[5], ElementType::kU64, declared.subjects + 1),
        split(&file, kDatasetPaths[6], ElementType::kU8, declared.subjects) {
    file.SetAttribute("/", "format", kStoreFormat);
    file.SetAttribute("/", "format_version", kStoreVersion);
    file.SetAttribute("/", "writer_version", SEQUELA_VERSION);
    file.SetAttribute("/", "token_dtype", TokenTypeName(size));
    file.SetAttribute("/", "vocabulary_hash", hash);
    offset.Append(0);
    summary.extras.stays = extras.stays;
    summary.extras.texts = extras.texts;
    if (extras.stays) stay.emplace(&file, kDatasetPaths[7], ElementType::kI64, declared.tokens);
    if (extras.texts) {
      text_offset.emplace(&file, kDatasetPaths[8], ElementType::kU64, extras.events + 1);
      text_offset->Append(0);
      text_bytes.emplace(&file, kDatasetPaths[9], ElementType::kU8, extras.text_bytes);
    }
    summary.file_name = path.filename();
  }

  TokenColumn MakeTokenColumn() {
    if (TokenTypeName(vocabulary_size) == "uint16") {
      return Column<std::uint16_t>(&file, kDatasetPaths[0], ElementType::kU16, declared.tokens);
    }
    return Column<std::uint32_t>(&file, kDatasetPaths[0], ElementType::kU32, declared.tokens);
  }

  void AppendTokens(std::span<const std::uint32_t> tokens) {
    const auto limit = static_cast<std::uint32_t>(vocabulary_size);
    std::visit(
        [&](auto& column) {
          for (const std::uint32_t one : tokens) {
            SEQUELA_CHECK(one < limit, "token {} of {}", one, limit);
            column.Append(static_cast<typename std::decay_t<decltype(column)>::Element>(one));
          }
        },
        token);
  }

  ShardCounts declared;
  ShardExtras declared_extras;
  std::int32_t vocabulary_size;
  Hdf5Writer file;
  TokenColumn token;
  Column<std::int64_t> time;
  Column<std::uint32_t> code;
  Column<float> value;
  Column<std::int64_t> id;
  Column<std::uint64_t> offset;
  Column<std::uint8_t> split;
  std::optional<Column<std::int64_t>> stay;
  std::optional<Column<std::uint64_t>> text_offset;
  std::optional<Column<std::uint8_t>> text_bytes;
  ShardSummary summary;
};

ChainShardWriter::ChainShardWriter(std::filesystem::path file, ShardCounts counts,
                                   std::int32_t vocabulary_size, std::string vocabulary_hash,
                                   ShardExtras extras)
    : impl_(new Impl(file, counts, vocabulary_size, vocabulary_hash, extras)) {}

ChainShardWriter::~ChainShardWriter() = default;

void ChainShardWriter::Append(std::int64_t subject_id, Split split,
                              std::span<const std::uint32_t> token,
                              std::span<const std::int64_t> time_us,
                              std::span<const std::uint32_t> code, std::span<const float> value,
                              std::span<const std::int64_t> stay) {
  SEQUELA_CHECK(token.size() == time_us.size() && token.size() == code.size() &&
                token.size() == value.size());
  SEQUELA_CHECK(stay.size() == (impl_->stay ? token.size() : 0));
  const auto count = static_cast<std::int64_t>(token.size());
  ShardCounts& written = impl_->summary.counts;
  ShardCounts& of_split = impl_->summary.by_split[static_cast<std::size_t>(split)];
  for (ShardCounts* counts : {&written, &of_split}) {
    counts->subjects += 1;
    counts->tokens += count;
  }
  impl_->AppendTokens(token);
  impl_->time.Append(time_us);
  impl_->code.Append(code);
  impl_->value.Append(value);
  if (impl_->stay) impl_->stay->Append(stay);
  impl_->id.Append(subject_id);
  impl_->offset.Append(static_cast<std::uint64_t>(written.tokens));
  impl_->split.Append(static_cast<std::uint8_t>(split));
}

void ChainShardWriter::AppendText(std::string_view text) {
  ShardExtras& written = impl_->summary.extras;
  SEQUELA_CHECK(written.texts);
  written.events += 1;
  written.text_bytes += static_cast<std::int64_t>(text.size());
  impl_->text_bytes->Append(
      std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  impl_->text_offset->Append(static_cast<std::uint64_t>(written.text_bytes));
}

ShardSummary ChainShardWriter::Finish() {
  ShardSummary& summary = impl_->summary;
  SEQUELA_CHECK(summary.counts.subjects == impl_->declared.subjects &&
                    summary.counts.tokens == impl_->declared.tokens,
                "declared {} subjects and {} tokens, got {} and {}", impl_->declared.subjects,
                impl_->declared.tokens, summary.counts.subjects, summary.counts.tokens);
  SEQUELA_CHECK(summary.extras.events == impl_->declared_extras.events &&
                    summary.extras.text_bytes == impl_->declared_extras.text_bytes,
                "declared {} texts of {} bytes, got {} of {}", impl_->declared_extras.events,
                impl_->declared_extras.text_bytes, summary.extras.events,
                summary.extras.text_bytes);
  summary.crcs = {std::visit([](auto& column) { return column.Finish(); }, impl_->token),
                  impl_->time.Finish(),
                  impl_->code.Finish(),
                  impl_->value.Finish(),
                  impl_->id.Finish(),
                  impl_->offset.Finish(),
                  impl_->split.Finish()};
  if (impl_->stay) summary.crcs.push_back(impl_->stay->Finish());
  if (impl_->text_offset) {
    summary.crcs.push_back(impl_->text_offset->Finish());
    summary.crcs.push_back(impl_->text_bytes->Finish());
  }
  impl_->file.Close();
  const std::filesystem::path& path = impl_->file.path();
  std::error_code error;
  summary.file_bytes = std::filesystem::file_size(path, error);
  if (error) throw MachineError("{}: cannot be read: {}", path.string(), error.message());
  summary.file_crc32c = FileCrc32c(path);
  summary.chain_extents = ChainExtents(path, summary.extras);
  summary.structure_crc32c = FileCrc32cOutside(path, summary.chain_extents);
  return summary;
}

void WriteStoreMetadata(const std::filesystem::path& folder, const StoreMetadata& metadata) {
  Manifest manifest;
  manifest.vocabulary_size = metadata.vocabulary.size();
  manifest.vocabulary_hash = metadata.vocabulary.hash();
  const auto write = [&](const char* name, const std::string& text) {
    WriteFileAtomically(folder / name, text);
    manifest.files.push_back({name, text.size(), Crc32c(text.data(), text.size())});
  };
  write("codes.json", CodesToJson(metadata.codes));
  write("vocabulary.json", metadata.vocabulary.ToJson());
  manifest.shards = metadata.shards;
  manifest.tokenization_json = metadata.settings_json;
  manifest.source_json = metadata.source_json;
  if (!metadata.simulation_json.empty()) manifest.simulation_json = metadata.simulation_json;
  WriteFileAtomically(folder / "manifest.json", ToJson(manifest));
}

}  // namespace sequela
