#include "dataio/store/chain_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_map>

#include "dataio/base/mapped_file.h"
#include "dataio/store/code_table.h"
#include "dataio/store/manifest.h"
#include "dataio/store/shard.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/check.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

std::string ReadManifestText(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "manifest.json";
  if (!PathExists(file)) {
    throw InputError(
        "{}: no chain store: manifest.json is missing. Expected a folder that "
        "`sequela ingest` wrote.",
        folder.string());
  }
  return ReadFile(file);
}

// Reading this much twice costs less than a second.
constexpr std::uint64_t kCheckedAtOpening = std::uint64_t{1} << 30;

void CheckChecksumsOfSmallStore(const std::filesystem::path& folder, const Manifest& manifest) {
  std::uint64_t bytes = 0;
  for (const ShardSummary& shard : manifest.shards) bytes += shard.file_bytes;
  if (bytes > kCheckedAtOpening) return;
  for (const ShardSummary& shard : manifest.shards) {
    const std::uint32_t found = FileCrc32c(folder / shard.file_name);
    if (found != shard.file_crc32c) {
      throw InputError(
          "{}: found CRC-32C {:08x}, expected {:08x} (manifest.json). The file is "
          "damaged: copy it again, or ingest again. `sequela verify` says where.",
          (folder / shard.file_name).string(), found, shard.file_crc32c);
    }
  }
}

// A JSON file beside the manifest, its bytes checked against it.
std::string ReadListed(const std::filesystem::path& folder, const Manifest& manifest,
                       std::string_view name) {
  const auto file = std::find_if(manifest.files.begin(), manifest.files.end(),
                                 [&](const Manifest::File& entry) { return entry.name == name; });
  SEQUELA_CHECK(file != manifest.files.end());
  std::string text = ReadFile(folder / name);
  const std::uint32_t crc = Crc32c(text.data(), text.size());
  if (text.size() != file->bytes || crc != file->crc32c) {
    throw InputError(
        "{}: found {} bytes with CRC-32C {:08x}, expected {} with {:08x} "
        "(manifest.json). The file is damaged or belongs to another store: copy it "
        "again, or ingest again.",
        (folder / name).string(), text.size(), crc, file->bytes, file->crc32c);
  }
  return text;
}

}  // namespace

struct ChainStore::Impl {
  std::filesystem::path folder;
  std::string manifest_text;
  Manifest manifest;
  Vocabulary vocabulary;
  std::vector<CodeEntry> codes;
  std::vector<Shard> shards;
  std::vector<std::int64_t> first_subject;  // of each shard; then the number of subjects
  mutable std::once_flag subjects_indexed;
  mutable std::unordered_map<std::int64_t, std::int64_t> index_by_id;

  // For each shard the number of each subject's first event.
  mutable std::mutex events_mutex;
  mutable std::vector<std::vector<std::uint64_t>> first_event;

  const std::vector<std::uint64_t>& FirstEvents(std::size_t shard) const {
    const std::lock_guard lock(events_mutex);
    first_event.resize(shards.size());
    std::vector<std::uint64_t>& first = first_event[shard];
    if (!first.empty()) return first;
    const std::span<const std::uint64_t> offset = shards[shard].subject_offset();
    const std::span<const std::uint32_t> code = shards[shard].code();
    first.push_back(0);
    for (std::size_t i = 1; i < offset.size(); ++i) {
      const auto chain = code.subspan(offset[i - 1], offset[i] - offset[i - 1]);
      first.push_back(first.back() + chain.size() -
                      static_cast<std::uint64_t>(std::count(chain.begin(), chain.end(), kNoCode)));
    }
    return first;
  }

  struct Place {
    const Shard* shard;
    std::size_t index;
  };
  Place PlaceOf(std::int64_t subject_index) const {
    SEQUELA_CHECK(subject_index >= 0 && subject_index < first_subject.back(), "subject {} of {}",
                  subject_index, first_subject.back());
    const auto after =
        std::upper_bound(first_subject.begin(), first_subject.end(), subject_index) - 1;
    const auto shard = static_cast<std::size_t>(after - first_subject.begin());
    return {&shards[shard], static_cast<std::size_t>(subject_index - *after)};
  }
};

ChainStore ChainStore::Open(const std::filesystem::path& folder) {
  auto impl = std::make_unique<Impl>();
  impl->folder = folder;
  impl->manifest_text = ReadManifestText(folder);
  impl->manifest = ParseManifest(impl->manifest_text, folder / "manifest.json");
  const Manifest& manifest = impl->manifest;
  impl->vocabulary = Vocabulary::FromJson(ReadListed(folder, manifest, "vocabulary.json"),
                                          folder / "vocabulary.json");
  const Vocabulary& vocabulary = impl->vocabulary;
  if (vocabulary.hash() != manifest.vocabulary_hash ||
      vocabulary.size() != manifest.vocabulary_size) {
    throw InputError(
        "{}: found {} tokens with hash {}, expected {} with {} (manifest.json). The "
        "file belongs to another store.",
        (folder / "vocabulary.json").string(), vocabulary.size(), vocabulary.hash(),
        manifest.vocabulary_size, manifest.vocabulary_hash);
  }
  impl->codes = CodesFromJson(ReadListed(folder, manifest, "codes.json"), folder / "codes.json",
                              vocabulary.size());
  impl->first_subject.push_back(0);
  for (std::size_t i = 0; i < manifest.shards.size(); ++i) {
    impl->shards.emplace_back(folder, manifest, i);
    impl->first_subject.push_back(impl->first_subject.back() + manifest.shards[i].counts.subjects);
  }
  CheckChecksumsOfSmallStore(folder, manifest);
  return ChainStore(std::move(impl));
}

ChainStore::ChainStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChainStore::ChainStore(ChainStore&&) noexcept = default;
ChainStore& ChainStore::operator=(ChainStore&&) noexcept = default;
ChainStore::~ChainStore() = default;

const std::filesystem::path& ChainStore::folder() const { return impl_->folder; }
const Vocabulary& ChainStore::vocabulary() const { return impl_->vocabulary; }
const std::vector<CodeEntry>& ChainStore::codes() const { return impl_->codes; }
const std::string& ChainStore::manifest_json() const { return impl_->manifest_text; }
std::optional<std::string> ChainStore::simulation_json() const {
  return impl_->manifest.simulation_json;
}
std::string ChainStore::content_hash() const { return impl_->manifest.content_hash; }
std::int64_t ChainStore::num_subjects() const { return impl_->first_subject.back(); }
std::int64_t ChainStore::num_tokens() const { return impl_->manifest.Total().tokens; }

ChainView ChainStore::chain(std::int64_t subject_index) const {
  const auto [shard, index] = impl_->PlaceOf(subject_index);
  const std::uint64_t begin = shard->subject_offset()[index];
  const std::uint64_t count = shard->subject_offset()[index + 1] - begin;
  ChainView view;
  view.subject_id = shard->subject_id()[index];
  view.split = static_cast<Split>(shard->subject_split()[index]);
  if (shard->tokens_are_16_bits()) {
    view.tokens16 = shard->tokens16().subspan(begin, count).data();
  } else {
    view.tokens32 = shard->tokens32().subspan(begin, count).data();
  }
  view.time_us = shard->time_us().subspan(begin, count);
  view.code = shard->code().subspan(begin, count);
  view.value = shard->value().subspan(begin, count);
  if (impl_->manifest.has_stays()) view.stay = shard->stay().subspan(begin, count);
  return view;
}

ChainView ChainStore::checked_chain(std::int64_t subject_index) const {
  const ChainView view = chain(subject_index);
  const auto refuse = [&](std::string_view dataset, std::int64_t found, std::int64_t size) {
    throw InputError(
        "{}: {}: found {}, expected a number below {}. The store is damaged: `sequela verify` says "
        "where.",
        impl_->PlaceOf(subject_index).shard->file().string(), dataset, found, size);
  };
  const std::int32_t num_tokens = impl_->vocabulary.size();
  const std::size_t num_codes = impl_->codes.size();
  for (std::int64_t i = 0; i < view.size(); ++i) {
    const std::int32_t token = view.token(i);
    if (token < 0 || token >= num_tokens) {
      // A u32 beyond the vocabulary may show up as a negative number.
      refuse("/chain/token", static_cast<std::uint32_t>(token), num_tokens);
    }
    const std::uint32_t code = view.code[static_cast<std::size_t>(i)];
    if (code != kNoCode && code >= num_codes) {
      refuse("/chain/code", code, static_cast<std::int64_t>(num_codes));
    }
  }
  return view;
}

std::int64_t ChainStore::chain_length(std::int64_t subject_index) const {
  const auto [shard, index] = impl_->PlaceOf(subject_index);
  return static_cast<std::int64_t>(shard->subject_offset()[index + 1] -
                                   shard->subject_offset()[index]);
}

Split ChainStore::split(std::int64_t subject_index) const {
  const auto [shard, index] = impl_->PlaceOf(subject_index);
  return static_cast<Split>(shard->subject_split()[index]);
}

std::optional<std::int64_t> ChainStore::FindSubject(std::int64_t subject_id) const {
  std::call_once(impl_->subjects_indexed, [this] {
    std::int64_t index = 0;
    for (const Shard& shard : impl_->shards) {
      for (const std::int64_t id : shard.subject_id()) impl_->index_by_id.emplace(id, index++);
    }
  });
  const auto found = impl_->index_by_id.find(subject_id);
  if (found == impl_->index_by_id.end()) return std::nullopt;
  return found->second;
}

bool ChainStore::has_texts() const { return impl_->manifest.has_texts(); }

std::vector<std::string_view> ChainStore::texts(std::int64_t subject_index) const {
  SEQUELA_CHECK(has_texts());
  const auto [shard, index] = impl_->PlaceOf(subject_index);
  const std::vector<std::uint64_t>& first =
      impl_->FirstEvents(static_cast<std::size_t>(shard - impl_->shards.data()));
  const std::span<const std::uint64_t> offset = shard->text_offset();
  const std::string_view bytes = shard->text_bytes();
  std::vector<std::string_view> texts;
  for (std::uint64_t event = first[index]; event < first[index + 1]; ++event) {
    if (event + 1 >= offset.size() || offset[event] > offset[event + 1] ||
        offset[event + 1] > bytes.size()) {
      throw InputError(
          "{}: /text/offset[{}]: found an offset beyond the texts. The file is damaged: "
          "`sequela verify` says where.",
          shard->file().string(), event);
    }
    texts.push_back(bytes.substr(offset[event], offset[event + 1] - offset[event]));
  }
  return texts;
}

ChainHead HeadOf(const Vocabulary& vocabulary, const ChainView& chain) {
  ChainHead head;
  while (head.static_end < chain.size() &&
         vocabulary[chain.token(head.static_end)].kind == TokenKind::kStatic) {
    const std::int64_t time = chain.time_us[static_cast<std::size_t>(head.static_end)];
    if (time != kStaticTime) head.birth_us = time;
    ++head.static_end;
  }
  return head;
}

}  // namespace sequela
