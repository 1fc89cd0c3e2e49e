// Package types has the parts of EC2's answers that Felix reads.
package types

// AttributeBooleanValue is a setting that is on or off.
type AttributeBooleanValue struct {
	Value *bool
}

// Reservation is a group of instances.
type Reservation struct {
	Instances []Instance
}

// Instance is a machine.
type Instance struct {
	NetworkInterfaces []InstanceNetworkInterface
}

// InstanceNetworkInterface is a network interface of a machine.
type InstanceNetworkInterface struct {
	Attachment         *InstanceNetworkInterfaceAttachment
	NetworkInterfaceId *string
}

// InstanceNetworkInterfaceAttachment says how an interface is attached.
type InstanceNetworkInterfaceAttachment struct {
	DeviceIndex *int32
}
