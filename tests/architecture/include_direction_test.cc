// The include rules, read off the source tree: a folder includes only what lies below it, a module of
// dataio/ or trainer/ only itself and the modules before it, private headers stay where they are, and
// every foreign library is included in one place.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace sequela {
namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file;  // relative to the source tree, as is the header of a quoted include
  int line;
  std::string header;
};

// Which top-level folders one may include from, besides itself.
const std::map<std::string, std::set<std::string>>& AllowedFolders() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"kernels", {}},
      {"runtime", {"kernels"}},
      {"dataio", {"kernels"}},
      {"trainer", {"kernels", "runtime", "dataio"}},
      {"launch", {"kernels", "runtime", "dataio", "trainer"}},
  };
  return allowed;
}

// The modules of a folder, in order: each may include itself and those before it. A module that is
// not in this table does not exist.
const std::map<std::string, std::vector<std::string>>& ModuleOrder() {
  static const std::map<std::string, std::vector<std::string>> order = {
      {"dataio", {"base", "meds", "store", "text", "loader", "ingest", "tasks", "simulator"}},
      {"trainer",
       {"statistics", "model", "experiment", "evaluation", "training", "generation", "prediction",
        "explanation", "report"}},
  };
  return order;
}

// The private folders of kernels/ and runtime/ that may include which other of the same folder; those
// that are not named stand alone.
const std::map<std::string, std::set<std::string>>& AllowedPrivateFolders() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"kernels/cpu", {"kernels/layout"}},
      {"kernels/cuda", {"kernels/layout"}},
      {"runtime/nccl", {"runtime/mpi"}},
  };
  return allowed;
}

// A foreign header (by regular expression) and the only files (likewise) that may include it.
// Tests, which compare with these libraries, and benchmarks are free.
struct ForeignRule {
  std::string header;
  std::string files;
};
const std::vector<ForeignRule>& ForeignRules() {
  static const std::vector<ForeignRule> rules = {
      {"dnnl\\.hpp|dnnl\\.h", "kernels/cpu/gemm_onednn\\.cc"},
      {"hwy/.*", "kernels/cpu/.*"},
      {"mpi\\.h", "runtime/mpi/.*"},
      {"nccl\\.h", "runtime/nccl/.*"},
      {"cuda.*\\.h|cublas.*\\.h|nv.*\\.h|cuda/.*", ".*/cuda/.*"},
      {"hdf5.*\\.h|H5.*", "dataio/store/hdf5/.*"},
      {"(arrow|parquet)/.*", "dataio/meds/arrow/.*"},
      {"yaml-cpp/.*", "dataio/base/settings_reader_yaml\\.cc"},
  };
  return rules;
}

// The parts of a path before its file name.
std::vector<std::string> FoldersOf(const std::string& path) {
  std::vector<std::string> folders;
  for (const fs::path& part : fs::path(path).parent_path()) folders.push_back(part.string());
  return folders;
}
std::string TopOf(const std::string& path) { return path.substr(0, path.find('/')); }
std::string FolderOf(const std::string& path) { return fs::path(path).parent_path().string(); }
bool HasModules(const std::string& top) { return ModuleOrder().contains(top); }

// The place of the path's module in the order of its folder; -1 where it is in no module.
int ModulePlaceOf(const std::string& path) {
  const std::vector<std::string> folders = FoldersOf(path);
  if (folders.size() < 2) return -1;
  const std::vector<std::string>& order = ModuleOrder().at(folders[0]);
  const auto found = std::find(order.begin(), order.end(), folders[1]);
  return found == order.end() ? -1 : static_cast<int>(found - order.begin());
}

std::vector<Include> IncludesOf(const std::string& text_name, std::istream& text) {
  static const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"].*)");
  std::vector<Include> includes;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    std::smatch match;
    if (std::regex_match(line, match, pattern)) includes.push_back({text_name, number, match[1]});
  }
  return includes;
}

std::vector<std::string> AllSources() {
  const fs::path root = SEQUELA_SOURCE_DIR;
  std::vector<std::string> all;
  for (const auto& [folder, below] : AllowedFolders()) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      static const std::set<std::string> endings = {".h", ".cc", ".cu", ".cuh"};
      if (!endings.contains(entry.path().extension().string())) continue;
      all.push_back(fs::relative(entry.path(), root).string());
    }
  }
  return all;
}

std::vector<Include> AllIncludes() {
  std::vector<Include> all;
  for (const std::string& file : AllSources()) {
    std::ifstream text(fs::path(SEQUELA_SOURCE_DIR) / file);
    const auto includes = IncludesOf(file, text);
    all.insert(all.end(), includes.begin(), includes.end());
  }
  return all;
}

// Whether a header is part of the public face of its folder or module.
bool IsPublic(const std::string& header) {
  const std::size_t depth = FoldersOf(header).size();
  return FolderOf(header) == "kernels/base" || depth == (HasModules(TopOf(header)) ? 2U : 1U);
}

// Empty, or what is wrong with one module of a folder including another.
std::string ModuleFaultOf(const Include& include) {
  const int from = ModulePlaceOf(include.file);
  const int to = ModulePlaceOf(include.header);
  if (from < 0) return include.file + " is in no module";
  if (to < 0) return include.header + " is in no module";
  if (to > from) return "the module comes later in the order";
  if (to < from && !IsPublic(include.header)) return "private header of another module";
  return "";
}

// Empty, or what is wrong with one private folder of kernels/ or runtime/ including another.
std::string PrivateFolderFaultOf(const Include& include) {
  const auto private_folder_of = [](const std::string& path) {
    const std::vector<std::string> folders = FoldersOf(path);
    return folders.size() < 2 ? std::string() : folders[0] + "/" + folders[1];
  };
  const std::string from = private_folder_of(include.file);
  const std::string to = private_folder_of(include.header);
  if (from.empty() || to.empty() || from == to || to == "kernels/base") return "";
  const auto& allowed = AllowedPrivateFolders();
  const auto found = allowed.find(from);
  const bool may = found != allowed.end() && found->second.contains(to);
  return may ? "" : from + " must not know " + to;
}

std::string ForeignFaultOf(const Include& include) {
  for (const ForeignRule& rule : ForeignRules()) {
    if (std::regex_match(include.header, std::regex(rule.header)) &&
        !std::regex_match(include.file, std::regex(rule.files))) {
      return "only " + rule.files + " may include this";
    }
  }
  return "";
}

// Empty, or what is wrong with an include.
std::string FaultOf(const Include& include) {
  const std::string top = TopOf(include.file);
  const std::string other = TopOf(include.header);
  if (other == "tests" || other == "benchmarks") return top + " must not know " + other;
  if (!AllowedFolders().contains(other) || include.header.find('/') == std::string::npos) {
    return ForeignFaultOf(include);
  }
  if (other == top) return HasModules(top) ? ModuleFaultOf(include) : PrivateFolderFaultOf(include);
  if (!AllowedFolders().at(top).contains(other)) return top + " must not know " + other;
  if (top == "dataio" && FolderOf(include.header) != "kernels/base") {
    return "dataio knows only kernels/base/";
  }
  return IsPublic(include.header) ? "" : "private header of " + other + "/";
}

// Empty, or what is wrong with the place of a source file.
std::string PlaceFaultOf(const std::string& file) {
  const std::string top = TopOf(file);
  if (!HasModules(top)) return "";
  if (ModulePlaceOf(file) < 0) return "lies in no module of " + top + "/";
  return FoldersOf(file).size() <= 3 ? "" : "lies more than one folder below its module";
}

TEST(IncludeDirectionTest, EveryIncludeKeepsTheRules) {
  const std::vector<Include> includes = AllIncludes();
  EXPECT_GT(includes.size(), 100U) << "the source tree was not found at " << SEQUELA_SOURCE_DIR;
  for (const Include& include : includes) {
    EXPECT_EQ(FaultOf(include), "")
        << include.file << ":" << include.line << " includes " << include.header;
  }
}

TEST(IncludeDirectionTest, BaseKnowsNothingButItself) {
  for (const Include& include : AllIncludes()) {
    if (FolderOf(include.file) != "kernels/base" || TopOf(include.header) != "kernels") continue;
    EXPECT_EQ(FolderOf(include.header), "kernels/base") << include.file << ":" << include.line;
  }
}

TEST(IncludeDirectionTest, EveryFileLiesInAModule) {
  for (const std::string& file : AllSources()) EXPECT_EQ(PlaceFaultOf(file), "") << file;
}

// A text from a file that is parsed elsewhere escapes the checks of its depth and size.
TEST(IncludeDirectionTest, JsonIsParsedInOnePlace) {
  const std::regex parse(R"(json::parse\(|Json::parse\(|json::accept\()", std::regex::icase);
  for (const std::string& file : AllSources()) {
    if (file == "kernels/base/json_text.h") continue;
    std::ifstream text(fs::path(SEQUELA_SOURCE_DIR) / file);
    std::string line;
    for (int number = 1; std::getline(text, line); ++number) {
      EXPECT_FALSE(std::regex_search(line, parse))
          << file << ":" << number << ": ParseJsonText (kernels/base/json_text.h) parses JSON";
    }
  }
}

// The rules themselves: each of these must be found, and none of those.
TEST(IncludeDirectionTest, TheRulesFindWhatTheyShould) {
  const std::vector<Include> wrong = {
      {"kernels/gemm.h", 1, "runtime/log.h"},
      {"kernels/cuda/bias.cc", 1, "kernels/cpu/rowwise.h"},
      {"kernels/layout/mma_tiles.h", 1, "kernels/cuda/launch.h"},
      {"runtime/mpi/mpi_world.cc", 1, "runtime/nccl/nccl_communicator.h"},
      {"runtime/world.h", 1, "dataio/loader/batch.h"},
      {"dataio/loader/packer.cc", 1, "runtime/log.h"},
      {"dataio/loader/packer.cc", 1, "kernels/gemm.h"},
      {"dataio/meds/event_file.h", 1, "dataio/store/chain_store.h"},
      {"dataio/loader/packer.cc", 1, "dataio/store/hdf5/hdf5_file.h"},
      {"dataio/loader/packer.cc", 1, "dataio/chain_store.h"},
      {"dataio/loader/packer.cc", 1, "dataio/cellar/chain_store.h"},
      {"trainer/model/decoder.cc", 1, "kernels/cpu/gemm.h"},
      {"trainer/model/decoder.cc", 1, "trainer/experiment/experiment.h"},
      {"trainer/model/decoder.cc", 1, "launch/commands.h"},
      {"trainer/training/train_loop.cc", 1, "dataio/meds/arrow/status.h"},
      {"trainer/training/train_loop.cc", 1, "mpi.h"},
      {"kernels/cpu/gemm.cc", 1, "dnnl.hpp"},
      {"dataio/meds/arrow/reader.cc", 1, "hdf5.h"},
      {"dataio/ingest/ingest.cc", 1, "arrow/api.h"},
      {"trainer/experiment/experiment_yaml.cc", 1, "yaml-cpp/yaml.h"},
      {"runtime/device.cc", 1, "cuda_runtime.h"},
      {"launch/main.cc", 1, "trainer/training/run/prepared_run.h"},
      {"trainer/model/decoder.cc", 1, "tests/testing/poison.h"},
  };
  for (const Include& include : wrong) EXPECT_NE(FaultOf(include), "") << include.header;
  const std::vector<Include> right = {
      {"dataio/loader/packer.cc", 1, "kernels/base/errors.h"},
      {"dataio/loader/packer.cc", 1, "dataio/store/chain_store.h"},
      {"dataio/meds/event_file.cc", 1, "dataio/meds/arrow/reader.h"},
      {"trainer/model/decoder.cc", 1, "kernels/gemm.h"},
      {"trainer/training/train_loop.cc", 1, "dataio/loader/batch.h"},
      {"dataio/base/settings_reader_yaml.cc", 1, "yaml-cpp/yaml.h"},
      {"kernels/cuda/rowwise.cu", 1, "cuda_bf16.h"},
      {"kernels/cuda/hopper/gemm.cu", 1, "kernels/cuda/launch.h"},
      {"kernels/cuda/bias.cc", 1, "kernels/layout/workspace_carver.h"},
      {"runtime/nccl/nccl_communicator.h", 1, "runtime/mpi/activity_board.h"},
      {"runtime/world.cc", 1, "runtime/mpi/mpi_world.h"},
      {"launch/main.cc", 1, "string"},
  };
  for (const Include& include : right) EXPECT_EQ(FaultOf(include), "") << include.header;
}

TEST(IncludeDirectionTest, FilesOutsideTheModulesAreFound) {
  EXPECT_NE(PlaceFaultOf("dataio/chain_store.h"), "");
  EXPECT_NE(PlaceFaultOf("trainer/cellar/decoder.h"), "");
  EXPECT_NE(PlaceFaultOf("dataio/store/hdf5/deep/file.h"), "");
  EXPECT_EQ(PlaceFaultOf("dataio/store/hdf5/hdf5_file.h"), "");
  EXPECT_EQ(PlaceFaultOf("runtime/checkpoint.h"), "");
}

TEST(IncludeDirectionTest, IncludesAreRead) {
  std::istringstream text("#include <a/b.h>\n  #  include \"c.h\"  // why\n// #include <no.h>\n");
  const auto includes = IncludesOf("x", text);
  ASSERT_EQ(includes.size(), 2U);
  EXPECT_EQ(includes[0].header, "a/b.h");
  EXPECT_EQ(includes[1].header, "c.h");
  EXPECT_EQ(includes[1].line, 2);
}

}  // namespace
}  // namespace sequela
