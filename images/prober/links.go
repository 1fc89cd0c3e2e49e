package main

import (
	"encoding/binary"
	"net"
	"syscall"
)

// Numbers of Linux' if_link.h that the syscall package does not have.
const (
	iflaLinkInfo   = 18
	iflaInfoKind   = 1
	iflaInfoData   = 2
	iflaVxlanID    = 1
	iflaVxlanPort  = 15
	attributeNest  = 1 << 15
	attributeAlign = 4
)

// links reads the node's interfaces, but for those of pods.
func links() ([]link, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	details, err := linkDetails()
	if err != nil {
		return nil, err
	}
	found := []link{}
	for _, one := range interfaces {
		if isPodLink(one.Name) || one.Flags&net.FlagLoopback != 0 {
			continue
		}
		l := details[one.Index]
		l.Name, l.MTU, l.Up = one.Name, one.MTU, one.Flags&net.FlagUp != 0
		addresses, _ := one.Addrs()
		for _, address := range addresses {
			if ip, ok := address.(*net.IPNet); ok && ip.IP.To4() != nil {
				l.Addresses = append(l.Addresses, ip.String())
			}
		}
		found = append(found, l)
	}
	return found, nil
}

// linkDetails asks the kernel for the kind of each link, and for the numbers of those that are VXLAN.
func linkDetails() (map[int]link, error) {
	answer, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return nil, err
	}
	found := map[int]link{}
	for _, message := range messages {
		if message.Header.Type != syscall.RTM_NEWLINK || len(message.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		index := int(int32(binary.NativeEndian.Uint32(message.Data[4:8])))
		l := link{}
		info := attributes(attributes(message.Data[syscall.SizeofIfInfomsg:])[iflaLinkInfo])
		if kind := info[iflaInfoKind]; len(kind) > 1 {
			l.Kind = string(kind[:len(kind)-1])
		}
		if l.Kind == "vxlan" {
			data := attributes(info[iflaInfoData])
			if id := data[iflaVxlanID]; len(id) >= 4 {
				l.VNI = int(binary.NativeEndian.Uint32(id))
			}
			// The port is in network order.
			if port := data[iflaVxlanPort]; len(port) >= 2 {
				l.Port = int(binary.BigEndian.Uint16(port))
			}
		}
		found[index] = l
	}
	return found, nil
}

// attributes splits a netlink message's type-length-value list.
func attributes(data []byte) map[uint16][]byte {
	found := map[uint16][]byte{}
	for len(data) >= 4 {
		length := int(binary.NativeEndian.Uint16(data))
		if length < 4 || length > len(data) {
			break
		}
		found[binary.NativeEndian.Uint16(data[2:])&^attributeNest] = data[4:length]
		data = data[min(len(data), (length+attributeAlign-1)&^(attributeAlign-1)):]
	}
	return found
}
