// The house's include rules, read off the source tree: rooms know what lies below them only,
// private headers stay in their room, and every foreign library is met in one place.
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

// Which folders a room may include from, besides itself.
const std::map<std::string, std::set<std::string>>& AllowedRooms() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"kernels", {}},
      {"runtime", {"kernels"}},
      {"dataio", {"kernels"}},
      {"trainer", {"kernels", "runtime", "dataio"}},
      {"launch", {"kernels", "runtime", "dataio", "trainer"}},
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
      {"hdf5.*\\.h|H5.*", "dataio/hdf5/.*"},
      {"(arrow|parquet)/.*", "dataio/arrow/.*"},
      {"yaml-cpp/.*", ".*_yaml\\.cc"},
  };
  return rules;
}

std::string RoomOf(const std::string& path) { return path.substr(0, path.find('/')); }
std::string FolderOf(const std::string& path) { return fs::path(path).parent_path().string(); }

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

std::vector<Include> IncludesOfRooms() {
  const fs::path root = SEQUELA_SOURCE_DIR;
  std::vector<Include> all;
  for (const auto& [room, below] : AllowedRooms()) {
    for (const auto& entry : fs::recursive_directory_iterator(root / room)) {
      static const std::set<std::string> endings = {".h", ".cc", ".cu", ".cuh"};
      if (!endings.contains(entry.path().extension().string())) continue;
      std::ifstream text(entry.path());
      const auto includes = IncludesOf(fs::relative(entry.path(), root).string(), text);
      all.insert(all.end(), includes.begin(), includes.end());
    }
  }
  return all;
}

// Empty, or what is wrong with an include.
std::string FaultOf(const Include& include) {
  const std::string room = RoomOf(include.file);
  const std::string other = RoomOf(include.header);
  if (AllowedRooms().contains(other) && include.header.find('/') != std::string::npos) {
    if (other == room) return "";
    if (!AllowedRooms().at(room).contains(other)) return room + " must not know " + other;
    const std::string folder = FolderOf(include.header);
    if (room == "dataio" && folder != "kernels/base") return "dataio knows only kernels/base/";
    if (folder != other && folder != "kernels/base") {
      return "private header: one level below " + other + "/";
    }
    return "";
  }
  if (other == "tests" || other == "benchmarks") return room + " must not know " + other;
  for (const ForeignRule& rule : ForeignRules()) {
    if (std::regex_match(include.header, std::regex(rule.header)) &&
        !std::regex_match(include.file, std::regex(rule.files))) {
      return "only " + rule.files + " may include this";
    }
  }
  return "";
}

TEST(IncludeDirectionTest, EveryIncludeKeepsTheRules) {
  const std::vector<Include> includes = IncludesOfRooms();
  EXPECT_GT(includes.size(), 100U) << "the source tree was not found at " << SEQUELA_SOURCE_DIR;
  for (const Include& include : includes) {
    EXPECT_EQ(FaultOf(include), "")
        << include.file << ":" << include.line << " includes " << include.header;
  }
}

TEST(IncludeDirectionTest, BaseKnowsNothingButItself) {
  for (const Include& include : IncludesOfRooms()) {
    if (FolderOf(include.file) != "kernels/base" || RoomOf(include.header) != "kernels") continue;
    EXPECT_EQ(FolderOf(include.header), "kernels/base") << include.file << ":" << include.line;
  }
}

// The rules themselves: each of these must be found, and none of those.
TEST(IncludeDirectionTest, TheRulesFindWhatTheyShould) {
  const std::vector<Include> wrong = {
      {"kernels/gemm.h", 1, "runtime/log.h"},
      {"runtime/world.h", 1, "dataio/loader/batch.h"},
      {"dataio/loader/packer.cc", 1, "runtime/log.h"},
      {"dataio/loader/packer.cc", 1, "kernels/gemm.h"},
      {"trainer/model/decoder.cc", 1, "kernels/cpu/gemm.h"},
      {"trainer/model/decoder.cc", 1, "launch/commands.h"},
      {"trainer/training/train_loop.cc", 1, "mpi.h"},
      {"kernels/cpu/gemm.cc", 1, "dnnl.hpp"},
      {"dataio/arrow/reader.cc", 1, "hdf5.h"},
      {"dataio/ingest/ingest.cc", 1, "arrow/api.h"},
      {"trainer/experiment/experiment.cc", 1, "yaml-cpp/yaml.h"},
      {"runtime/device.cc", 1, "cuda_runtime.h"},
      {"trainer/model/decoder.cc", 1, "tests/testing/poison.h"},
  };
  for (const Include& include : wrong) EXPECT_NE(FaultOf(include), "") << include.header;
  const std::vector<Include> right = {
      {"dataio/loader/packer.cc", 1, "kernels/base/errors.h"},
      {"dataio/ingest/ingest.cc", 1, "dataio/arrow/reader.h"},
      {"trainer/model/decoder.cc", 1, "kernels/gemm.h"},
      {"trainer/experiment/experiment_yaml.cc", 1, "yaml-cpp/yaml.h"},
      {"kernels/cuda/rowwise.cu", 1, "cuda_bf16.h"},
      {"launch/main.cc", 1, "string"},
  };
  for (const Include& include : right) EXPECT_EQ(FaultOf(include), "") << include.header;
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
