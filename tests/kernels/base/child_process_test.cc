// ctest: labels=sanitize timeout=60
// Work in a child process: what it returns, throws and notes reaches the parent; its death is told.
#include "kernels/base/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <new>

#include "kernels/base/errors.h"
#include "tests/testing/message_of.h"

namespace sequela {
namespace {

using ::testing::HasSubstr;
using testing::MessageOf;

TEST(ChildProcessTest, ReturnsWhatTheWorkReturns) {
  const std::string large(3'000'000, 'x');  // more than a pipe holds
  const ChildOutcome outcome = RunInChild([&](const ChildNotes& note) {
    note("first");
    note("second");
    return std::string(large);
  });
  EXPECT_EQ(outcome.result, large);
  EXPECT_EQ(outcome.note, "second");
  EXPECT_EQ(outcome.death, "");
}

TEST(ChildProcessTest, AnotherProcessDoesTheWork) {
  int value = 1;
  const ChildOutcome outcome = RunInChild([&](const ChildNotes&) {
    value = 2;
    return std::to_string(::getpid());
  });
  EXPECT_EQ(value, 1);
  EXPECT_NE(outcome.result, std::to_string(::getpid()));
}

TEST(ChildProcessTest, ThrowsWhatTheWorkThrows) {
  EXPECT_EQ(MessageOf([] {
              RunInChild([](const ChildNotes&) -> std::string { throw InputError("{}", 7); });
            }),
            "7");
  EXPECT_THROW(
      RunInChild([](const ChildNotes&) -> std::string { throw MachineError("the disk is full"); }),
      MachineError);
  EXPECT_THROW(RunInChild([](const ChildNotes&) -> std::string { throw std::bad_alloc(); }),
               std::bad_alloc);
  EXPECT_THROW(RunInChild([](const ChildNotes&) -> std::string { throw std::out_of_range("x"); }),
               std::runtime_error);
}

TEST(ChildProcessTest, TellsADeath) {
  ChildOutcome outcome = RunInChild([](const ChildNotes& note) -> std::string {
    note("opening a.h5");
    std::signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would make an exit code of it
    ::raise(SIGSEGV);
    return "";
  });
  EXPECT_EQ(outcome.note, "opening a.h5");
  EXPECT_THAT(outcome.death, HasSubstr("signal 11 ("));
  EXPECT_EQ(outcome.result, "");
  outcome = RunInChild([](const ChildNotes&) -> std::string { ::_exit(7); });
  EXPECT_EQ(outcome.death, "exit code 7");
}

TEST(ChildProcessTest, AKilledChildIsNoFaultOfTheInput) {
  EXPECT_THROW(RunInChild([](const ChildNotes&) -> std::string {
                 ::raise(SIGKILL);
                 return "";
               }),
               MachineError);
}

}  // namespace
}  // namespace sequela
