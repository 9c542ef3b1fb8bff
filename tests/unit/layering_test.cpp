// SPDX-License-Identifier: Apache-2.0
// Reads the #include lines of the tree and fails on an arrow between layers that the design forbids (docs/architecture.md),
// and on a C library header in a public header. Names the file and the line's text. Needs the source tree.
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using names = std::set<std::string>;

// Which layers each layer may include, besides itself.
const std::map<std::string, names>& allowed_layers() {
    static const std::map<std::string, names> allowed = {
        {"core", {}},
        {"model", {"core"}},
        {"roles", {"core", "model"}},
        {"wire", {"core", "model"}},
        {"netlink", {"core", "model", "wire"}},
        {"ovs", {"core", "model"}},
        {"services", {"core", "model"}},
        {"probe", {"core", "model", "netlink"}},
        {"apply", {"core", "model", "netlink", "ovs", "services", "probe"}},
        {"lab", {"core", "model", "wire", "netlink", "ovs", "services", "probe", "apply"}},
    };
    return allowed;
}

// The public headers that all public headers together stand for, not a layer of its own.
const std::string umbrella = "weft.hpp";

// The C libraries of the project, by the beginning of their headers' names, and who may include them in lib/.
const std::map<std::string, names>& c_libraries() {
    static const std::map<std::string, names> libraries = {
        {"netlink/", {"wire"}},           // libnl, included as <netlink/...>
        {"libmnl/", {"wire"}},
        {"libnftnl/", {"wire"}},
        {"openvswitch/", {"ovs"}},
        {"ovsdb", {"ovs"}},
        {"openssl/", {"ovs"}},
        {"sodium", {"core"}},
        {"graphviz/", {}},
    };
    return libraries;
}

struct include_line {
    fs::path file;
    std::string target;
    bool angled = false;
};

std::vector<include_line> includes_below(const fs::path& folder) {
    std::vector<include_line> out;
    if (!fs::exists(folder)) return out;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        const auto extension = entry.path().extension();
        if (extension != ".hpp" && extension != ".cpp" && extension != ".h" && extension != ".c") continue;
        std::ifstream in(entry.path());
        for (std::string line; std::getline(in, line);) {
            const auto start = line.find_first_not_of(" \t");
            if (start == std::string::npos || line.compare(start, 1, "#") != 0) continue;
            const auto word = line.find_first_not_of(" \t", start + 1);
            if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
            const auto open = line.find_first_of("<\"", word);
            const auto close = open == std::string::npos ? open : line.find_first_of(">\"", open + 1);
            if (close == std::string::npos) continue;
            out.push_back({entry.path(), line.substr(open + 1, close - open - 1), line[open] == '<'});
        }
    }
    return out;
}

bool begins_with(const std::string& text, const std::string& start) {
    return text.compare(0, start.size(), start) == 0;
}

std::string first_part(const std::string& path) {
    return path.substr(0, path.find('/'));
}

// The layer that an include line of the project reaches for, "" for all other headers.
std::string layer_of(const include_line& line) {
    const std::string inner = begins_with(line.target, "weft/") ? line.target.substr(5) : line.target;
    if (line.angled && inner == line.target) return "";  // <netlink/...> is libnl, "netlink/..." is ours
    const std::string part = first_part(inner);
    return allowed_layers().count(part) != 0 && part != inner ? part : "";
}

fs::path source() {
    return fs::path(WEFT_SOURCE_DIR);
}

void check_layer(const std::string& layer, const fs::path& folder) {
    const names& allowed = allowed_layers().at(layer);
    for (const auto& line : includes_below(folder)) {
        INFO(line.file.string() << " includes " << line.target);
        const std::string to = layer_of(line);
        CHECK((to.empty() || to == layer || allowed.count(to) != 0));
        CHECK(line.target != "weft/" + umbrella);
        if (to.empty())
            for (const auto& [start, who] : c_libraries())
                if (begins_with(line.target, start)) CHECK(who.count(layer) != 0);
    }
}

}  // namespace

TEST_CASE("No layer includes one that it must not know", "[layering]") {
    for (const auto& [layer, allowed] : allowed_layers()) {
        check_layer(layer, source() / "include" / "weft" / layer);
        check_layer(layer, source() / "lib" / layer);
    }
}

TEST_CASE("Every folder of the library is a known layer", "[layering]") {
    for (const auto& root : {source() / "include" / "weft", source() / "lib"})
        for (const auto& entry : fs::directory_iterator(root))
            if (entry.is_directory()) {
                INFO(entry.path().string());
                CHECK(allowed_layers().count(entry.path().filename().string()) == 1);
            }
}

TEST_CASE("No public header includes a C library", "[layering]") {
    // Allowed: our own headers, Boost, and the headers of the C++ standard library, which have no dot in their names.
    for (const auto& line : includes_below(source() / "include")) {
        INFO(line.file.string() << " includes " << line.target);
        const bool ours = begins_with(line.target, "weft/");
        const bool boost = begins_with(line.target, "boost/");
        CHECK((ours || boost || line.target.find('.') == std::string::npos));
    }
}

TEST_CASE("The pure layers include no operating system", "[layering]") {
    // core and model are values and wire is bytes: no sockets, descriptors, threads or clocks.
    const names forbidden = {"sys/socket.h", "unistd.h", "fcntl.h", "poll.h", "sys/epoll.h", "sched.h", "thread", "mutex",
                             "future", "chrono"};
    for (const char* layer : {"core", "wire", "roles"})
        for (const auto& line : includes_below(source() / "lib" / layer)) {
            INFO(line.file.string() << " includes " << line.target);
            // Faults on demand are of builds for tests only, and must be below every layer that has some.
            CHECK((forbidden.count(line.target) == 0 || line.file.filename() == "fault.cpp"));
            if (std::string(layer) != "core") CHECK(!begins_with(line.target, "boost/asio"));
        }
}

TEST_CASE("Programs and examples see the public headers only", "[layering]") {
    for (const char* folder : {"bindings", "examples"})
        for (const auto& line : includes_below(source() / folder)) {
            INFO(line.file.string() << " includes " << line.target);
            const bool inner = !line.angled && allowed_layers().count(first_part(line.target)) != 0 &&
                               line.target.find('/') != std::string::npos;
            CHECK_FALSE(inner);
            CHECK(line.target.find("lib/") == std::string::npos);
        }
}
