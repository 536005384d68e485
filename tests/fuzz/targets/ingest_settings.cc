// The YAML of `sequela ingest --config`.
#include "dataio/ingest/ingest_settings.h"

#include "kernels/base/check.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {

void ReadIngestSettings(std::string_view input) {
  const std::string written = ToJson(LoadIngestSettings(FileInMemory(input)));
  SEQUELA_CHECK(ToJson(IngestSettingsFromJson(written)) == written, "{}", written);
}

}  // namespace sequela::testing
