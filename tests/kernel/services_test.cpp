// SPDX-License-Identifier: Apache-2.0
// The supervisor with real programs (sleep, cat, dnsmasq) in a namespace of the test. Each case has /run/weft and
// /var/lib/weft of its own, so that its supervisor is not the machine's. Waits are bounded; without root it skips. Longer
// than the guide, because every case needs the same small machine.
#include "weft/services/services.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "kernel/netns_fixture.hpp"
#include "kernel/private_run.hpp"
#include "weft/apply/apply.hpp"
#include "weft/netlink/nftables.hpp"

using namespace weft;
namespace fs = std::filesystem;

namespace {

// The processes whose words are these, here and in the namespace of the test.
std::vector<int> processes(const std::string& words) {
    std::vector<int> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        const auto pid = entry.path().filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        // By hand: a stream throws when the process ends while it is read.
        const int fd = ::open((entry.path() / "cmdline").c_str(), O_RDONLY | O_CLOEXEC);
        char bytes[2048];
        const auto n = ::read(fd, bytes, sizeof bytes);
        ::close(fd);
        std::string line(bytes, n > 0 ? static_cast<std::size_t>(n) : 0);
        std::replace(line.begin(), line.end(), '\0', ' ');
        if (line.find(words) != std::string::npos) found.push_back(std::atoi(pid.c_str()));
    }
    return found;
}

bool within(std::chrono::milliseconds bound, const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + bound;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

using std::chrono::seconds;

int parent_of(int pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(in, line);)
        if (line.compare(0, 5, "PPid:") == 0) return std::atoi(line.c_str() + 5);
    return 0;
}

// Gone, or a zombie: the supervisor is nobody's child but process 1's, and when that one reaps is not weft's matter.
bool ended(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name = text.rfind(')');
    return name == std::string::npos || text.compare(name, 3, ") Z") == 0;
}

struct host {
    test::private_run mounts;
    test::scoped_namespace space{"sv"};
    std::string fabric = "sv" + std::to_string(::getpid());
    // A sleep of a length that no other process has tells the service apart.
    std::string length = "9" + std::to_string(::getpid()) + std::to_string(counter());
    service spec;
    static int counter() {
        static int number = 100;
        return ++number;
    }

    host() {
        spec.name = "sleeper";
        spec.kind = "test";
        spec.space = space.name;
        spec.argv = {"/bin/sleep", length};
    }
    ~host() {
        for (const char* name : {"sleeper", "dnsmasq"}) (void)services::remove(fabric, name);
    }
    std::vector<int> alive() const { return processes("/bin/sleep " + length); }
};

}  // namespace

TEST_CASE("a service runs in its namespace, is listed as it was started, and remove leaves nothing") {
    if (!test::may_make_namespaces()) return;
    host h;
    REQUIRE(services::running(h.fabric).value().empty());
    h.spec.files["notes"] = {"one\n", false};
    services::put(h.fabric, h.spec).value();
    REQUIRE(h.alive().size() == 1);
    struct stat own {
    }, wanted{};
    REQUIRE(::stat(("/proc/" + std::to_string(h.alive()[0]) + "/ns/net").c_str(), &own) == 0);
    REQUIRE(::stat(("/run/netns/" + h.space.name).c_str(), &wanted) == 0);
    REQUIRE(own.st_ino == wanted.st_ino);
    REQUIRE(services::running(h.fabric).value() == std::vector{h.spec});
    REQUIRE(services::running("another").value().empty());

    // A file altered by hand: what was started is no longer what would start again.
    std::ofstream(service_folder(h.fabric, "sleeper") + "/notes") << "two\n";
    auto altered = h.spec;
    altered.files["notes"].text = "two\n";
    REQUIRE(services::running(h.fabric).value() == std::vector{altered});
    const int before = h.alive().at(0);
    services::put(h.fabric, h.spec).value();
    REQUIRE(services::running(h.fabric).value() == std::vector{h.spec});
    REQUIRE(h.alive().at(0) != before);  // it may have read what was altered
    fs::remove(service_folder(h.fabric, "sleeper") + "/notes");
    REQUIRE(services::running(h.fabric).value().at(0).files.empty());

    const int supervisor = parent_of(h.alive()[0]);
    services::remove(h.fabric, "sleeper").value();
    REQUIRE(h.alive().empty());
    REQUIRE(within(seconds(2), [&] { return ended(supervisor); }));
    REQUIRE(within(seconds(2), [] { return !fs::exists("/run/weft/services"); }));
    REQUIRE_FALSE(fs::exists("/var/lib/weft/services"));
}

TEST_CASE("a killed service is back within two seconds, each time; a stopped supervisor takes its services along") {
    if (!test::may_make_namespaces()) return;
    host h;
    services::put(h.fabric, h.spec).value();
    for (int i = 0; i < 4; ++i) {
        const int pid = h.alive().at(0);
        REQUIRE(::kill(pid, SIGKILL) == 0);
        REQUIRE(within(seconds(2), [&] {
            const auto now = h.alive();
            return now.size() == 1 && now[0] != pid;
        }));
    }
    SECTION("ended") { REQUIRE(::kill(parent_of(h.alive().at(0)), SIGTERM) == 0); }
    SECTION("killed") { REQUIRE(::kill(parent_of(h.alive().at(0)), SIGKILL) == 0); }
    REQUIRE(within(seconds(4), [&] { return h.alive().empty(); }));
    REQUIRE(services::running(h.fabric).value().empty());
    // And the next order finds no supervisor, whatever the old one left behind, and starts one.
    services::put(h.fabric, h.spec).value();
    REQUIRE(h.alive().size() == 1);
}

TEST_CASE("a program that keeps dying is not reported as running") {
    if (!test::may_make_namespaces()) return;
    host h;
    h.spec.argv = {"/bin/false"};
    services::put(h.fabric, h.spec).value();  // it was started, which is all that can be said at this moment
    REQUIRE(within(seconds(3), [&] { return services::running(h.fabric).value().empty(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    REQUIRE(services::running(h.fabric).value().empty());
}

TEST_CASE("what cannot be started is an error with the peer's own words, and is not kept") {
    if (!test::may_make_namespaces()) return;
    host h;
    SECTION("no such program") {
        h.spec.argv = {"/nonexistent/program"};
        const auto failed = services::put(h.fabric, h.spec);
        REQUIRE(failed.has_error());
        REQUIRE(failed.error().message().find("/nonexistent/program: No such file") != std::string::npos);
    }
    SECTION("no such namespace") {
        h.spec.space = "weft-t-none";
        REQUIRE(services::put(h.fabric, h.spec).has_error());
    }
    SECTION("a program that refuses its configuration") {
        h.spec.argv = {"/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--dhcp-range=nonsense",
                       "--pid-file=" + service_folder(h.fabric, "sleeper") + "/pid"};
        const auto failed = services::put(h.fabric, h.spec);
        REQUIRE(failed.has_error());
        INFO(failed.error().message());
        REQUIRE(failed.error().message().find("dhcp-range") != std::string::npos);
    }
    REQUIRE(services::running(h.fabric).value().empty());
    // No file of a service that never ran.
    REQUIRE(services::known(h.fabric).value().empty());
    for (const auto& left : {std::string("/run/weft/services/") + h.fabric, std::string("/var/lib/weft/services")}) {
        INFO(left);
        REQUIRE_FALSE(fs::exists(left));
    }
}

TEST_CASE("where the one that takes its place does not start, the one before runs again as it was") {
    if (!test::may_make_namespaces()) return;
    host h;
    h.spec.files["notes"] = {"one\n", false};
    services::put(h.fabric, h.spec).value();
    std::ofstream(service_folder(h.fabric, "sleeper") + "/notes") << "by hand\n";
    const auto before = services::running(h.fabric).value();
    REQUIRE(before.size() == 1);
    auto next = h.spec;
    next.files["notes"].text = "two\n";
    next.files["more"] = {"more\n", false};
    next.argv = {"/nonexistent/program"};
    const auto failed = services::put(h.fabric, next);
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().message().find("; the one before runs again") != std::string::npos);
    CHECK(h.alive().size() == 1);
    CHECK(services::running(h.fabric).value() == before);
    CHECK_FALSE(fs::exists(service_folder(h.fabric, "sleeper") + "/more"));
}

TEST_CASE("what a service kept outlives its removal until that is final") {
    if (!test::may_make_namespaces()) return;
    host h;
    services::put(h.fabric, h.spec).value();
    const auto leases = service_state_folder(h.fabric, "sleeper") + "/leases";
    std::ofstream(leases) << "one\n";
    services::remove(h.fabric, "sleeper").value();
    CHECK(h.alive().empty());
    CHECK(fs::exists(leases));
    services::put(h.fabric, h.spec).value();
    CHECK(fs::exists(leases));
    services::remove(h.fabric, "sleeper").value();
    services::forget(h.fabric, "another");
    CHECK(fs::exists(leases));
    services::forget(h.fabric, "sleeper");
    CHECK_FALSE(fs::exists("/var/lib/weft/services"));
}

TEST_CASE("remove takes every service of the fabric: altered ones, those that keep dying, those that lost their supervisor") {
    if (!test::may_make_namespaces()) return;
    host h;
    const apply::place place{h.space.name, "/nonexistent/openvswitch"};
    h.spec.space = "";
    h.spec.files["notes"] = {"one\n", false};
    const auto notes = service_folder(h.fabric, "sleeper") + "/notes";
    SECTION("altered by hand") {
        services::put(h.fabric, h.spec).value();
        std::ofstream(notes) << "by hand\n";
    }
    SECTION("a file of it is gone") {
        services::put(h.fabric, h.spec).value();
        fs::remove(notes);
    }
    SECTION("it keeps dying") {
        h.spec.argv = {"/bin/false"};
        services::put(h.fabric, h.spec).value();
        REQUIRE(within(seconds(3), [&] { return services::running(h.fabric).value().empty(); }));
    }
    SECTION("its supervisor was killed") {
        services::put(h.fabric, h.spec).value();
        REQUIRE(::kill(parent_of(h.alive().at(0)), SIGKILL) == 0);
        REQUIRE(within(seconds(4), [&] { return h.alive().empty(); }));
    }
    SECTION("its specification can no longer be read") {
        services::put(h.fabric, h.spec).value();
        REQUIRE(::kill(parent_of(h.alive().at(0)), SIGKILL) == 0);
        REQUIRE(within(seconds(4), [&] { return h.alive().empty(); }));
        std::ofstream("/run/weft/services/" + h.fabric + "/sleeper.json") << "nonsense";
    }
    std::ofstream(service_state_folder(h.fabric, "sleeper") + "/leases") << "one\n";
    CHECK(services::known(h.fabric).value().size() == 1);
    host_state nothing;
    nothing.fabric = h.fabric;
    nothing.node = "n";
    nothing.namespaces.resize(1);
    const auto p = apply::make_plan(place, nothing).value();
    REQUIRE(p.steps.size() == 1);
    CHECK(p.steps[0].to_string() == "- service sleeper");
    CHECK(apply::remove(place, h.fabric, "n").value().steps == 1);
    CHECK(h.alive().empty());
    CHECK(services::known(h.fabric).value().empty());
    CHECK_FALSE(fs::exists("/run/weft/services/" + h.fabric));
    CHECK_FALSE(fs::exists("/var/lib/weft/services"));
}

TEST_CASE("a run that is undone after a service was replaced or removed brings it back, with what it kept") {
    if (!test::may_make_namespaces()) return;
    host h;
    const apply::place place{h.space.name, "/nonexistent/openvswitch"};
    host_state wanted;
    wanted.fabric = h.fabric;
    wanted.node = "n";
    wanted.namespaces.resize(1);
    auto lo = test::make_link("lo", {});
    lo.up = true;
    wanted.namespaces[0].links = {lo};
    h.spec.space = "";
    h.spec.files["notes"] = {"one\n", false};
    wanted.services = {h.spec};
    apply::apply(place, wanted).value();
    const auto leases = service_state_folder(h.fabric, "sleeper") + "/leases";
    std::ofstream(leases) << "one\n";
    std::ofstream(service_folder(h.fabric, "sleeper") + "/notes") << "by hand\n";
    const auto before = services::running(h.fabric).value();
    REQUIRE(before.size() == 1);

    // All input is dropped, so that a check fails that passed before; services come after rules.
    auto changed = wanted;
    changed.namespaces[0].tables = {{nft::family::inet, "weft", {{"input", "filter", 1, 0, 0, {}, {}}}}};
    host_check ping;
    ping.kind = "ping";
    ping.target = *parse_ip("127.0.0.1");
    changed.checks = {ping};
    SECTION("replaced") { changed.services[0].argv = {"/bin/sleep", h.length + "1"}; }
    SECTION("removed") { changed.services.clear(); }
    const auto failed = apply::apply(place, changed);
    REQUIRE(failed.has_error());
    INFO(failed.error().message());
    CHECK(failed.error().code == errc::check_failed);
    CHECK(failed.error().message().find("all steps were undone") != std::string::npos);
    CHECK(services::running(h.fabric).value() == before);
    const auto alive = h.alive();
    std::string parents;
    for (const int pid : alive) parents += std::to_string(pid) + " of " + std::to_string(parent_of(pid)) + "; ";
    INFO(parents);
    CHECK(alive.size() == 1);
    CHECK(fs::exists(leases));

    // The same without the rule is final.
    changed.namespaces[0].tables.clear();
    apply::apply(place, changed).value();
    CHECK(fs::exists(leases) == !changed.services.empty());
    apply::remove(place, h.fabric, "n").value();
    CHECK_FALSE(fs::exists("/var/lib/weft/services"));
}

TEST_CASE("a reloadable file is read again by the same process, any other change restarts it") {
    if (!test::may_make_namespaces()) return;
    host h;
    h.spec.name = "dnsmasq";
    const auto folder = service_folder(h.fabric, "dnsmasq");
    h.spec.argv = {"/usr/sbin/dnsmasq",
                   "--keep-in-foreground",
                   "--conf-file=/dev/null",
                   "--no-resolv",
                   "--no-hosts",
                   "--user=root",
                   "--port=5353",
                   "--interface=lo",
                   "--bind-interfaces",
                   "--log-facility=-",
                   "--addn-hosts=" + folder + "/names",
                   "--pid-file=" + folder + "/pid"};
    h.spec.files["names"] = {"192.0.2.1 one\n", true};
    auto lo = test::make_link("lo", {});
    lo.up = true;
    h.space.session().run_one({netlink::verb::change, lo}).value();
    const auto started = services::put(h.fabric, h.spec);
    INFO((started ? std::string() : started.error().message()));
    REQUIRE(started.has_value());
    const auto pids = [&] { return processes("--pid-file=" + folder + "/pid"); };
    REQUIRE(pids().size() == 1);
    const int first = pids()[0];

    h.spec.files["names"].text += "192.0.2.2 two\n";
    services::put(h.fabric, h.spec).value();
    REQUIRE(pids() == std::vector{first});
    const auto log = [&] {
        std::ifstream in("/run/weft/services/" + h.fabric + "/dnsmasq.log");
        return std::string((std::istreambuf_iterator<char>(in)), {});
    };
    REQUIRE(within(seconds(2), [&] { return log().find("names - 2 ") != std::string::npos; }));

    h.spec.argv.push_back("--cache-size=10");
    services::put(h.fabric, h.spec).value();
    REQUIRE(pids().size() == 1);
    REQUIRE(pids()[0] != first);
    REQUIRE(services::running(h.fabric).value() == std::vector{h.spec});
}

TEST_CASE("a service that answers on its own socket serves when put is done, and one whose other namespace was made anew does not") {
    if (!test::may_make_namespaces()) return;
    if (::access("/usr/bin/python3", X_OK) != 0) return test::skip("needs python3");
    host h;
    const auto inner = h.space.name + "-in";
    netlink::create_namespace(inner).value();
    const std::string folder = service_folder(h.fabric, "sleeper");
    h.spec.space = "";
    h.spec.listens_in = inner;
    h.spec.ready = "ready";
    h.spec.argv = {"/usr/bin/python3", folder + "/serve", h.length};
    h.spec.files["serve"] = {"import os, socket, time\nos.chdir('" + folder +
                                 "')\nif os.path.exists('ready'): os.unlink('ready')\ns = socket.socket(socket.AF_UNIX)\n"
                                 "time.sleep(0.2)\ns.bind('ready')\ns.listen()\nopen('opened', 'w').close()\n"
                                 "while True:\n    peer = s.accept()[0]\n    peer.recv(10)\n    peer.send(b'!')\n    peer.close()\n",
                             false};
    services::put(h.fabric, h.spec).value();
    CHECK(fs::exists(folder + "/opened"));
    CHECK(services::running(h.fabric).value() == std::vector{h.spec});
    // What it was told is for root's eyes only.
    struct stat file {};
    REQUIRE(::stat((folder + "/serve").c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);

    netlink::delete_namespace(inner).value();
    CHECK(services::running(h.fabric).value().empty());
    netlink::create_namespace(inner).value();
    CHECK(services::running(h.fabric).value().empty());
    services::put(h.fabric, h.spec).value();
    CHECK(services::running(h.fabric).value() == std::vector{h.spec});

    // One that never answers is an error within a bound, and does not stay.
    auto silent = h.spec;
    silent.argv = {"/bin/sleep", h.length};
    const auto refused = services::put(h.fabric, silent);
    REQUIRE(refused.has_error());
    CHECK(refused.error().message().find("does not answer on ready") != std::string::npos);
    CHECK(h.alive().empty());
    netlink::delete_namespace(inner).value();
}

TEST_CASE("apply starts the services of a state, sees what is missing, and remove ends them") {
    if (!test::may_make_namespaces()) return;
    host h;
    const apply::place place{h.space.name, "/nonexistent/openvswitch"};
    const auto inner = h.space.name + "-in";
    host_state wanted;
    wanted.fabric = h.fabric;
    wanted.node = "n";
    wanted.namespaces.resize(2);
    wanted.namespaces[1].name = inner;
    h.spec.space = inner;
    wanted.services = {h.spec};
    apply::apply(place, wanted).value();
    REQUIRE(h.alive().size() == 1);
    REQUIRE(apply::apply(place, wanted).value().steps == 0);

    // The namespace made anew under its name: the service of the old one is of no use.
    netlink::delete_namespace(inner).value();
    const int old = h.alive()[0];
    apply::apply(place, wanted).value();
    REQUIRE(h.alive().size() == 1);
    REQUIRE(h.alive()[0] != old);
    REQUIRE(apply::make_plan(place, wanted).value().empty());

    // A service that does not start is the error, by its name, and holds back nothing: the other one is as wanted.
    auto changed = wanted;
    auto second = h.spec;
    second.name = "aa-second";
    second.argv = {"/nonexistent/program"};
    changed.services[0].argv = {"/bin/sleep", h.length + "1"};
    changed.services.push_back(second);
    for (int again = 0; again < 2; ++again) {
        const auto failed = apply::apply(place, changed);
        REQUIRE(failed.has_error());
        INFO(failed.error().message());
        REQUIRE(failed.error().object == "aa-second");
        REQUIRE(failed.error().message().find("all else is done") != std::string::npos);
        REQUIRE(services::running(h.fabric).value() == std::vector{changed.services[0]});
        REQUIRE(apply::make_plan(place, changed).value().steps.size() == 1);
    }

    apply::remove(place, h.fabric, "n").value();
    REQUIRE(h.alive().empty());
    REQUIRE(netlink::namespace_handle::open(inner).has_error());
}
