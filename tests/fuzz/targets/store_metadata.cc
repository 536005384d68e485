// The JSON files of a chain store. The first byte of an input says which one the rest is: m manifest,
// v vocabulary, c codes, t tokenization settings, s a shard's summary.
#include "dataio/ingest/ingest_settings.h"
#include "dataio/store/code_table.h"
#include "dataio/store/manifest.h"
#include "dataio/store/vocabulary.h"
#include "kernels/base/check.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {
namespace {

constexpr std::int32_t kVocabularySize = 100;

// The digest of a manifest covers all its bytes: it is made right, or no change would pass.
void ReadManifest(std::string_view input) {
  std::string text(input);
  constexpr std::string_view kKey = "\"manifest_crc32c\": \"";
  const std::size_t key = text.rfind(kKey);
  if (key != std::string::npos && text.size() - key >= kKey.size() + 8) text = WithDigest(text);
  const Manifest manifest = ParseManifest(text, "manifest.json");
  const Manifest again = ParseManifest(ToJson(manifest), "manifest.json");
  SEQUELA_CHECK(ContentHash(again) == ContentHash(manifest));
}

void ReadVocabulary(std::string_view text) {
  const Vocabulary vocabulary = Vocabulary::FromJson(text, "vocabulary.json");
  for (const std::int64_t seconds : {std::int64_t{0}, std::int64_t{86400}, INT64_MAX}) {
    SEQUELA_CHECK(vocabulary.AgeToken(seconds) < vocabulary.size());
    SEQUELA_CHECK(vocabulary.GapToken(seconds) < vocabulary.size());
  }
  const Vocabulary again = Vocabulary::FromJson(vocabulary.ToJson(), "vocabulary.json");
  SEQUELA_CHECK(again.hash() == vocabulary.hash() && again.ToJson() == vocabulary.ToJson());
}

void ReadCodes(std::string_view text) {
  const auto codes = CodesFromJson(text, "codes.json", kVocabularySize);
  const std::string written = CodesToJson(codes);
  SEQUELA_CHECK(CodesToJson(CodesFromJson(written, "codes.json", kVocabularySize)) == written);
}

void ReadTokenization(std::string_view text) {
  const std::string written = ToJson(IngestSettingsFromJson(text));
  SEQUELA_CHECK(ToJson(IngestSettingsFromJson(written)) == written);
}

void ReadShardSummary(std::string_view text) {
  const std::string written = ToJson(ShardSummaryFromJson(text));
  SEQUELA_CHECK(ToJson(ShardSummaryFromJson(written)) == written);
}

}  // namespace

void ReadStoreMetadata(std::string_view input) {
  if (input.empty()) return;
  const std::string_view text = input.substr(1);
  switch (input[0]) {
    case 'm':
      return ReadManifest(text);
    case 'v':
      return ReadVocabulary(text);
    case 'c':
      return ReadCodes(text);
    case 't':
      return ReadTokenization(text);
    case 's':
      return ReadShardSummary(text);
    default:
      return;
  }
}

}  // namespace sequela::testing
