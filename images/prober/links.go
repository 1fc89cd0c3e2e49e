package main

import (
	"encoding/binary"
	"net"
	"syscall"
)

// Constants of Linux' if_link.h that the syscall package lacks.
const (
	iflaLinkInfo   = 18
	iflaInfoKind   = 1
	iflaInfoData   = 2
	iflaVxlanID    = 1
	iflaVxlanPort  = 15
	attributeNest  = 1 << 15
	attributeAlign = 4
)

// links returns the node's interfaces, except those of pods.
func links() ([]link, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	details, err := linkDetails()
	if err != nil {
		return nil, err
	}
	all := []link{}
	for _, device := range interfaces {
		if device.Flags&net.FlagLoopback != 0 {
			continue
		}
		l := details[device.Index]
		l.Name, l.MTU, l.Up = device.Name, device.MTU, device.Flags&net.FlagUp != 0
		addresses, _ := device.Addrs()
		for _, address := range addresses {
			if ip, ok := address.(*net.IPNet); ok && ip.IP.To4() != nil {
				l.Addresses = append(l.Addresses, ip.String())
			}
		}
		if !isPodLink(l) {
			all = append(all, l)
		}
	}
	return all, nil
}

// linkDetails reads the kind of each link from the kernel, and the VNI and port of VXLAN links.
func linkDetails() (map[int]link, error) {
	answer, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return nil, err
	}
	details := map[int]link{}
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
			// The port is in network byte order.
			if port := data[iflaVxlanPort]; len(port) >= 2 {
				l.Port = int(binary.BigEndian.Uint16(port))
			}
		}
		details[index] = l
	}
	return details, nil
}

// attributes splits a netlink message's type-length-value list.
func attributes(data []byte) map[uint16][]byte {
	values := map[uint16][]byte{}
	for len(data) >= 4 {
		length := int(binary.NativeEndian.Uint16(data))
		if length < 4 || length > len(data) {
			break
		}
		values[binary.NativeEndian.Uint16(data[2:])&^attributeNest] = data[4:length]
		data = data[min(len(data), (length+attributeAlign-1)&^(attributeAlign-1)):]
	}
	return values
}
