package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// netns is a network namespace with its own thread. A socket belongs to the namespace of the thread that created it, and may
// be used by any thread.
type netns struct{ work chan func() }

const sysSetns = 308 // amd64; 268 on arm64

func setnsNumber() uintptr {
	if runtime.GOARCH == "arm64" {
		return 268
	}
	return sysSetns
}

// enter starts a thread in the network namespace of a process.
func enter(pid int) (*netns, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	n := &netns{make(chan func())}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and releases the namespace.
		runtime.LockOSThread()
		if _, _, number := syscall.RawSyscall(setnsNumber(), file.Fd(), syscall.CLONE_NEWNET, 0); number != 0 {
			entered <- number
			return
		}
		entered <- nil
		for work := range n.work {
			work()
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	return n, nil
}

// run runs work on the thread of the namespace, and waits until it returns.
func (n *netns) run(work func()) {
	done := make(chan struct{})
	n.work <- func() { work(); close(done) }
	<-done
}

// socket opens a nonblocking socket in the namespace, as a file that waits without occupying a thread.
func (n *netns) socket(kind int) (*os.File, error) {
	fd, err := -1, error(nil)
	n.run(func() { fd, err = syscall.Socket(syscall.AF_INET, kind|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// dial returns true when a TCP connection is established and, if data is set, when it also returns data. It closes the
// connection with a reset, which leaves no socket in TIME_WAIT.
func (n *netns) dial(to netip.AddrPort, timeout time.Duration, data bool) bool {
	file, err := n.socket(syscall.SOCK_STREAM)
	if err != nil {
		return false
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	_ = file.SetDeadline(time.Now().Add(timeout))
	started, result := false, error(nil)
	err = raw.Write(func(fd uintptr) bool {
		if !started {
			started = true
			_ = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
			result = syscall.Connect(int(fd), &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
			return !errors.Is(result, syscall.EINPROGRESS)
		}
		number, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		if err != nil || number != 0 {
			result = errors.Join(err, syscall.Errno(number))
			return true
		}
		// The poller may also wake without an event, so no error does not mean that the connection is established.
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

// Timeout of the data on an open connection. This program itself sends the data, and may wait for processor time.
const dataTimeout = 2 * time.Second

// Number of the last UDP sample. It distinguishes an answer from that to an earlier sample, which may arrive late at a
// socket that uses the same port.
var lastEcho atomic.Uint64

// echo returns true when a UDP packet is echoed.
func (n *netns) echo(to netip.AddrPort, timeout time.Duration) bool {
	file, err := n.socket(syscall.SOCK_DGRAM)
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
	payload := binary.BigEndian.AppendUint64(nil, lastEcho.Add(1))
	if _, err = file.Write(payload); err != nil {
		return false
	}
	for answer := make([]byte, 16); ; {
		length, err := file.Read(answer)
		if err != nil {
			return false
		}
		if bytes.Equal(answer[:length], payload) {
			return true
		}
	}
}

// bind opens a socket on a port and listens on it when it is a TCP socket.
func (n *netns) bind(kind, port int) (*os.File, error) {
	file, err := n.socket(kind)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	return file, nil
}

// listen opens a socket on a port, converts it with one of the net package's functions, and closes it when the context ends.
func listen[Socket io.Closer](
	ctx context.Context, n *netns, kind, port int, convert func(*os.File) (Socket, error),
) (Socket, error) {
	file, err := n.bind(kind, port)
	if err != nil {
		var none Socket
		return none, err
	}
	defer file.Close()
	socket, err := convert(file)
	if err == nil {
		context.AfterFunc(ctx, func() { socket.Close() })
	}
	return socket, err
}

// listenTCP sends data on every connection to a port until the context ends.
func (n *netns) listenTCP(ctx context.Context, port int) {
	listener, err := listen(ctx, n, syscall.SOCK_STREAM, port, net.FileListener)
	if err != nil {
		return
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = connection.Write([]byte("hello"))
		connection.Close()
	}
}

// listenUDP echoes every packet to a port until the context ends.
func (n *netns) listenUDP(ctx context.Context, port int) {
	connection, err := listen(ctx, n, syscall.SOCK_DGRAM, port, net.FilePacketConn)
	if err != nil {
		return
	}
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
