// SPDX-License-Identifier: Apache-2.0
// The ethtool ioctls for features: ETHTOOL_GSSET_INFO, GSTRINGS, GFEATURES, SFEATURES of linux/ethtool.h.
// May include: core. Counts told by the kernel are capped before they size a buffer.
#include "netlink/features.hpp"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

namespace weft::netlink {
namespace {

constexpr std::uint32_t max_features = 1024;

// A buffer for a C struct with a tail of `extra` bytes, aligned for 64-bit words.
std::vector<std::uint64_t> buffer_for(std::size_t size) { return std::vector<std::uint64_t>((size + 7) / 8, 0); }

result<void> call(int fd, const std::string& device, void* data, const char* what) {
    ifreq request{};
    device.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_data = static_cast<char*>(data);
    if (ioctl(fd, SIOCETHTOOL, &request) < 0) return errno_error(errno, what, device);
    return {};
}

}  // namespace

result<void> feature_control::learn_names(const std::string& device) {
    if (!names_.empty()) return {};
    auto space = buffer_for(sizeof(ethtool_sset_info) + sizeof(std::uint32_t));
    auto* info = reinterpret_cast<ethtool_sset_info*>(space.data());
    info->cmd = ETHTOOL_GSSET_INFO;
    info->sset_mask = 1ull << ETH_SS_FEATURES;
    if (auto ok = call(fd_, device, info, "count features"); !ok) return ok;
    const std::uint32_t count = info->sset_mask != 0 ? info->data[0] : 0;
    if (count == 0 || count > max_features)
        return error{errc::protocol_error, "count features", device, "the kernel tells " + std::to_string(count), 0};
    auto strings_space = buffer_for(sizeof(ethtool_gstrings) + std::size_t{count} * ETH_GSTRING_LEN);
    auto* strings = reinterpret_cast<ethtool_gstrings*>(strings_space.data());
    strings->cmd = ETHTOOL_GSTRINGS;
    strings->string_set = ETH_SS_FEATURES;
    strings->len = count;
    if (auto ok = call(fd_, device, strings, "list feature names"); !ok) return ok;
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto* text = reinterpret_cast<const char*>(strings->data + std::size_t{i} * ETH_GSTRING_LEN);
        names_.emplace_back(text, std::find(text, text + ETH_GSTRING_LEN, '\0'));
    }
    return {};
}

result<std::vector<std::uint32_t>> feature_control::active(const std::string& device) {
    const std::size_t blocks = (names_.size() + 31) / 32;
    auto space = buffer_for(sizeof(ethtool_gfeatures) + blocks * sizeof(ethtool_get_features_block));
    auto* get = reinterpret_cast<ethtool_gfeatures*>(space.data());
    get->cmd = ETHTOOL_GFEATURES;
    get->size = static_cast<std::uint32_t>(blocks);
    if (auto ok = call(fd_, device, get, "read features"); !ok) return ok.error();
    std::vector<std::uint32_t> words;
    for (std::size_t i = 0; i < blocks; ++i) words.push_back(get->features[i].active);
    return words;
}

result<std::map<std::string, bool>> feature_control::read(const std::string& device) {
    if (auto ok = learn_names(device); !ok) return ok.error();
    auto words = active(device);
    if (!words) return words.error();
    std::map<std::string, bool> features;
    for (std::size_t i = 0; i < names_.size(); ++i)
        if (!names_[i].empty()) features[names_[i]] = (((*words)[i / 32] >> (i % 32)) & 1) != 0;
    return features;
}

result<void> feature_control::write(const std::string& device, const std::map<std::string, bool>& wanted) {
    if (wanted.empty()) return {};
    if (auto ok = learn_names(device); !ok) return ok;
    // Segmentation goes off with checksums and gathering, and comes back with them where nobody asked for it: it is asked for only where it
    // does not follow by itself.
    std::map<std::string, bool> first;
    for (const auto& one : wanted)
        if (one.first.starts_with("tx-checksum-") || one.first.starts_with("tx-scatter-gather") || one.first == "rx-checksum") first.insert(one);
    if (!first.empty() && first.size() != wanted.size())
        if (auto ok = write(device, first); !ok) return ok;
    auto now = active(device);
    if (!now) return now.error();
    const std::size_t blocks = (names_.size() + 31) / 32;
    auto space = buffer_for(sizeof(ethtool_sfeatures) + blocks * sizeof(ethtool_set_features_block));
    auto* set = reinterpret_cast<ethtool_sfeatures*>(space.data());
    set->cmd = ETHTOOL_SFEATURES;
    set->size = static_cast<std::uint32_t>(blocks);
    std::size_t known = 0;
    for (std::size_t i = 0; i < names_.size(); ++i) {
        const auto at = wanted.find(names_[i]);
        if (at == wanted.end()) continue;
        ++known;
        // The kernel refuses to be asked for a fixed feature even where it holds already.
        if (((((*now)[i / 32] >> (i % 32)) & 1) != 0) == at->second) continue;
        set->features[i / 32].valid |= 1u << (i % 32);
        if (at->second) set->features[i / 32].requested |= 1u << (i % 32);
    }
    if (known != wanted.size()) {
        for (const auto& [name, on] : wanted)
            if (std::find(names_.begin(), names_.end(), name) == names_.end())
                return error{errc::unsupported, "set features", device, "this kernel knows no feature " + name, 0};
    }
    if (auto ok = call(fd_, device, set, "set features"); !ok) return ok;
    // The ioctl succeeds even where the driver keeps its own mind, so what holds is read back.
    auto words = active(device);
    if (!words) return words.error();
    for (std::size_t i = 0; i < names_.size(); ++i) {
        const auto at = wanted.find(names_[i]);
        if (at != wanted.end() && at->second != ((((*words)[i / 32] >> (i % 32)) & 1) != 0))
            return error{errc::unsupported, "set features", device,
                         names_[i] + " stays " + (at->second ? "off" : "on"), 0};
    }
    return {};
}

}  // namespace weft::netlink
