// ctest: labels=sanitize timeout=60
// The run's records, read by independent parsers: nlohmann-json for lines, a reader of TFRecords
// and protocol buffers written here from their specifications for events.
#include "trainer/training/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "tests/testing/temp_folder.h"
#include "trainer/training/metrics/event_file.h"

namespace sequela {
namespace {

// CRC-32C bit by bit (reflected polynomial 0x82F63B78), and TensorFlow's mask.
std::uint32_t SlowMaskedCrc(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82F63B78U & (0U - (crc & 1U)));
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

// A protocol buffer message: field number to its values, as raw bytes or numbers.
struct Message {
  std::multimap<int, std::string> bytes;
  std::multimap<int, std::uint64_t> numbers;
};

std::uint64_t TakeVarint(std::string_view& in) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(in.at(0));
    in.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return value;
  }
}

std::uint64_t TakeFixed(std::string_view& in, std::size_t size) {
  std::uint64_t value = 0;
  std::memcpy(&value, in.data(), size);
  in.remove_prefix(size);
  return value;
}

Message ParseMessage(std::string_view in) {
  Message message;
  while (!in.empty()) {
    const std::uint64_t tag = TakeVarint(in);
    const int field = static_cast<int>(tag >> 3);
    switch (tag & 7U) {
      case 0:
        message.numbers.emplace(field, TakeVarint(in));
        break;
      case 1:
        message.numbers.emplace(field, TakeFixed(in, 8));
        break;
      case 5:
        message.numbers.emplace(field, TakeFixed(in, 4));
        break;
      default: {
        const std::uint64_t size = TakeVarint(in);
        message.bytes.emplace(field, std::string(in.substr(0, size)));
        in.remove_prefix(size);
      }
    }
  }
  return message;
}

std::vector<Message> ReadEvents(std::string_view file) {
  std::vector<Message> events;
  while (!file.empty()) {
    const std::string_view head = file.substr(0, 8);
    const std::uint64_t size = TakeFixed(file, 8);
    EXPECT_EQ(TakeFixed(file, 4), SlowMaskedCrc(head));
    const std::string_view data = file.substr(0, size);
    file.remove_prefix(size);
    EXPECT_EQ(TakeFixed(file, 4), SlowMaskedCrc(data));
    events.push_back(ParseMessage(data));
  }
  return events;
}

std::int64_t StepOf(const Message& event) {
  const auto step = event.numbers.find(2);
  return step == event.numbers.end() ? 0 : static_cast<std::int64_t>(step->second);
}

class MetricsTest : public ::testing::Test {
 protected:
  MetricsLog Open(std::int64_t resume_step = 0) { return {Folder(), resume_step, true, 1}; }
  void WriteSteps(MetricsLog& log, std::int64_t first, std::int64_t last) {
    for (std::int64_t step = first; step <= last; ++step) log.WriteStep(Step(step));
  }
  static StepMetrics Step(std::int64_t step) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.loss = 1.0 / (3.0 + static_cast<double>(step));
    return metrics;
  }
  std::vector<nlohmann::json> Lines() const {
    std::vector<nlohmann::json> lines;
    std::ifstream in(Folder() / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  // Not parsed.
  std::vector<std::string> RawLines() const {
    std::vector<std::string> lines;
    std::ifstream in(Folder() / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  std::filesystem::path EventFile() const {
    for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
      if (entry.path().filename().string().find("tfevents") != std::string::npos) {
        return entry.path();
      }
    }
    return {};
  }
  std::vector<Message> Events() const { return ReadEvents(ReadFile(EventFile())); }
  void AppendTo(const std::filesystem::path& file, const std::string& text) const {
    std::ofstream(file, std::ios::app | std::ios::binary) << text;
  }
  std::filesystem::path Folder() const { return folder_.path(); }

 private:
  testing::TempFolder folder_;
};

// What a resume keeps has to be whole; what it drops may be anything (a machine that lost power).
TEST_F(MetricsTest, ADamagedLineIsNamedWhereItWouldBeKept) {
  const auto refusal = [&](std::int64_t resume_step) -> std::string {
    try {
      Open(resume_step);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  };
  for (const char* damaged : {R"({"step":"x"})", R"({"loss":1})", "[3]", "", R"({"step":1e300})",
                              R"({"step":-1})", "{\"step\":\x80"}) {
    std::filesystem::remove(Folder() / "metrics.jsonl");
    {
      MetricsLog log = Open();
      WriteSteps(log, 1, 3);
    }
    AppendTo(Folder() / "metrics.jsonl", std::string(damaged) + "\n{\"step\":4}\n");
    EXPECT_NE(refusal(4).find("line 4 is damaged"), std::string::npos) << damaged << refusal(4);
    EXPECT_EQ(RawLines().size(), 5U) << "nothing was dropped";
    EXPECT_EQ(refusal(3), "accepted") << damaged;
    EXPECT_EQ(Lines().size(), 3U) << damaged;
  }
}

TEST_F(MetricsTest, LinesHoldTheContractsKeysAndReadBackBitForBit) {
  StepMetrics m = Step(7);
  m.loss = std::nextafter(0.1, 1.0);
  m.learning_rate = 1e-300;
  m.model_flops_utilization = std::nan("");
  const auto line = nlohmann::json::parse(StepLine(m));
  EXPECT_EQ(line.size(), 13U);
  for (const char* key :
       {"step", "tokens", "targets", "loss", "gradient_norm", "learning_rate", "tokens_per_second",
        "model_flops_utilization", "matrix_rate_share", "data_wait_seconds",
        "communication_wait_seconds", "checkpoint_wait_seconds", "step_seconds"}) {
    EXPECT_TRUE(line.contains(key)) << key;
  }
  EXPECT_EQ(line["loss"].get<double>(), m.loss);
  EXPECT_EQ(line["learning_rate"].get<double>(), 1e-300);
  EXPECT_TRUE(line["model_flops_utilization"].is_null());
}

TEST_F(MetricsTest, EventsHoldHeaderStepsAndValues) {
  {
    MetricsLog log = Open();
    WriteSteps(log, 1, 300);
    const NamedNumber results[] = {{"nll_per_token", 1.5}};
    log.WriteEvaluation(300, "tuning", results);
  }
  const std::vector<Message> events = Events();
  ASSERT_EQ(events.size(), 302U);
  EXPECT_EQ(events[0].bytes.find(3)->second, "brain.Event:2");
  EXPECT_EQ(StepOf(events[300]), 300);
  const Message summary = ParseMessage(events[301].bytes.find(5)->second);
  const Message value = ParseMessage(summary.bytes.find(1)->second);
  EXPECT_EQ(value.bytes.find(1)->second, "tuning/nll_per_token");
  float number = 0.0F;
  std::memcpy(&number, &value.numbers.find(2)->second, 4);
  EXPECT_EQ(number, 1.5F);
}

TEST_F(MetricsTest, AResumeDropsWhatCameAfterItsStep) {
  {
    MetricsLog log = Open();
    WriteSteps(log, 1, 4);
    const NamedNumber results[] = {{"nll_per_token", 1.5}};
    log.WriteEvaluation(4, "tuning", results);
    WriteSteps(log, 5, 9);
  }
  AppendTo(Folder() / "metrics.jsonl", "{\"step\":10,\"lo");
  AppendTo(EventFile(), "half a record");
  {
    MetricsLog log = Open(4);
    WriteSteps(log, 5, 6);
  }
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 7U);
  EXPECT_EQ(lines[4]["split"], "tuning");
  EXPECT_EQ(lines[6]["step"], 6);
  const auto events = Events();
  ASSERT_EQ(events.size(), 8U);  // the header too
  EXPECT_EQ(StepOf(events[7]), 6);
}

TEST_F(MetricsTest, ANewRunStartsOver) {
  {
    MetricsLog log = Open();
    WriteSteps(log, 1, 4);
  }
  {
    MetricsLog log = Open();
    WriteSteps(log, 1, 1);
  }
  EXPECT_EQ(Lines().size(), 1U);
}

TEST_F(MetricsTest, ADamagedEventEndsWhatIsKept) {
  const Scalar scalars[] = {{"a", 1.0}};
  const std::string first = EventFileHeader(1.0);
  const std::string second = EventRecord(2.0, 1, scalars);
  std::string file = first + second + EventRecord(3.0, 2, scalars);
  EXPECT_EQ(EventBytesUpTo(file, 1), static_cast<std::int64_t>(first.size() + second.size()));
  file[first.size() + 20] ^= 1;
  EXPECT_EQ(EventBytesUpTo(file, 1), static_cast<std::int64_t>(first.size()));
}

}  // namespace
}  // namespace sequela
