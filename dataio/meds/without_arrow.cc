// What needs Arrow, in a build without it: each entry point says so.
#if !defined(SEQUELA_WITH_ARROW)

#include "dataio/meds/event_file.h"
#include "dataio/meds/meds_writer.h"
#include "dataio/meds/text_table.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

[[noreturn]] void Refuse() {
  throw InputError(
      "this build of sequela has no Arrow and cannot read or write Parquet. Configure it with "
      "-DSEQUELA_WITH_ARROW=ON, or make the store on another machine.");
}

}  // namespace

struct MedsFileWriter::Impl {};
MedsFileWriter::MedsFileWriter(std::filesystem::path, Options) { Refuse(); }
MedsFileWriter::~MedsFileWriter() = default;
void MedsFileWriter::Append(std::int64_t, std::int64_t, std::string_view, float, std::string_view) {
  Refuse();
}
std::int64_t MedsFileWriter::rows() const { Refuse(); }
void MedsFileWriter::Finish() { Refuse(); }
void WriteMedsMetadata(const std::filesystem::path&, const MedsDatasetInfo&,
                       const std::vector<MedsCode>&, const std::vector<MedsSubjectSplit>&) {
  Refuse();
}

struct EventFile::Impl {};
EventFile::EventFile(std::unique_ptr<Impl>) { Refuse(); }
EventFile::EventFile(EventFile&&) noexcept = default;
EventFile& EventFile::operator=(EventFile&&) noexcept = default;
EventFile::~EventFile() = default;
EventFile EventFile::Open(const std::filesystem::path&, const EventColumns&) { Refuse(); }
int EventFile::num_row_groups() const { Refuse(); }
std::int64_t EventFile::num_rows() const { Refuse(); }
std::int64_t EventFile::num_rows(int) const { Refuse(); }
std::int64_t EventFile::first_row(int) const { Refuse(); }
const std::vector<std::string>& EventFile::column_names() const { Refuse(); }
void EventFile::ReadRowGroup(int, const std::function<void(const EventBatch&)>&,
                             EventReadCounts&) const {
  Refuse();
}
std::vector<CodeMetadata> ReadCodeMetadata(const std::filesystem::path&,
                                           const std::vector<std::string>&, std::int64_t*) {
  Refuse();
}
std::vector<SubjectSplitRow> ReadSubjectSplits(const std::filesystem::path&) { Refuse(); }
void ReleaseArrowMemory() {}
void ReadTextTable(const std::filesystem::path&, const std::vector<WantedColumn>&, char,
                   const std::function<void(const TextBatch&)>&) {
  Refuse();
}

}  // namespace sequela

#endif
