package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// space is a network namespace, with a thread of its own in it: a socket belongs to the namespace that it was made in,
// and may be used from any thread.
type space struct{ work chan func() }

const sysSetns = 308 // amd64; 268 on arm64

func setnsNumber() uintptr {
	if runtime.GOARCH == "arm64" {
		return 268
	}
	return sysSetns
}

// enter makes the thread. It ends with the last use of the space.
func enter(pid int) (*space, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s := &space{make(chan func())}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and takes its namespace along.
		runtime.LockOSThread()
		if _, _, number := syscall.RawSyscall(setnsNumber(), file.Fd(), syscall.CLONE_NEWNET, 0); number != 0 {
			entered <- number
			return
		}
		entered <- nil
		for work := range s.work {
			work()
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	return s, nil
}

func (s *space) do(work func()) {
	done := make(chan struct{})
	s.work <- func() { work(); close(done) }
	<-done
}

// socket opens one in the namespace, as a file that waits without a thread.
func (s *space) socket(kind int) (*os.File, error) {
	fd, err := -1, error(nil)
	s.do(func() { fd, err = syscall.Socket(syscall.AF_INET, kind|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// dial tells whether a TCP connection comes about, and with data whether its server's words come too. Its end is a reset,
// so that nothing is left waiting of it.
func (s *space) dial(to netip.AddrPort, timeout time.Duration, data bool) bool {
	file, err := s.socket(syscall.SOCK_STREAM)
	if err != nil {
		return false
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	_ = file.SetDeadline(time.Now().Add(timeout))
	begun, result := false, error(nil)
	err = raw.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			_ = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
			result = syscall.Connect(int(fd), &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
			return !errors.Is(result, syscall.EINPROGRESS)
		}
		number, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		if err != nil || number != 0 {
			result = errors.Join(err, syscall.Errno(number))
			return true
		}
		// No error is no connection yet: the poller also wakes for nothing.
		_, result = syscall.Getpeername(int(fd))
		return result == nil
	})
	if err != nil || result != nil || !data {
		return err == nil && result == nil
	}
	_ = file.SetDeadline(time.Now().Add(dataTimeout))
	_, err = file.Read(make([]byte, 16))
	return err == nil
}

// How long a server's words may take once a connection is open. It is this very program that has to say them.
const dataTimeout = 2 * time.Second

// Told apart from the answer to an earlier sample, which may come late to a socket that has its port by now.
var echoes atomic.Uint64

// echo tells whether a UDP packet comes back.
func (s *space) echo(to netip.AddrPort, timeout time.Duration) bool {
	file, err := s.socket(syscall.SOCK_DGRAM)
	if err != nil {
		return false
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	_ = file.SetDeadline(time.Now().Add(timeout))
	connected := error(nil)
	_ = raw.Control(func(fd uintptr) {
		connected = syscall.Connect(int(fd), &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	})
	if connected != nil {
		return false
	}
	words := binary.BigEndian.AppendUint64(nil, echoes.Add(1))
	if _, err = file.Write(words); err != nil {
		return false
	}
	for answer := make([]byte, 16); ; {
		length, err := file.Read(answer)
		if err != nil {
			return false
		}
		if bytes.Equal(answer[:length], words) {
			return true
		}
	}
}

func (s *space) bound(kind, port int) *os.File {
	file, err := s.socket(kind)
	if err != nil {
		return nil
	}
	raw, _ := file.SyscallConn()
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		if err = syscall.Bind(int(fd), &syscall.SockaddrInet4{Port: port}); err == nil && kind == syscall.SOCK_STREAM {
			err = syscall.Listen(int(fd), 128)
		}
	})
	if err != nil {
		file.Close()
		return nil
	}
	return file
}

func (s *space) listenTCP(ctx context.Context, port int) {
	file := s.bound(syscall.SOCK_STREAM, port)
	if file == nil {
		return
	}
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		return
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = connection.Write([]byte("hello"))
		connection.Close()
	}
}

func (s *space) listenUDP(ctx context.Context, port int) {
	file := s.bound(syscall.SOCK_DGRAM, port)
	if file == nil {
		return
	}
	connection, err := net.FilePacketConn(file)
	file.Close()
	if err != nil {
		return
	}
	context.AfterFunc(ctx, func() { connection.Close() })
	buffer := make([]byte, 64)
	for {
		length, from, err := connection.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = connection.WriteTo(buffer[:length], from)
		}
	}
}
