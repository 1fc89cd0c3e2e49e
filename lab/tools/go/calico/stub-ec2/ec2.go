// Package ec2 takes the place of AWS' client of EC2 in the lab's Calico. Felix needs that client only to switch the
// source/destination check of an EC2 instance, which no machine of a lab is; to compile it takes almost a minute. Here
// are the names that Felix uses. Every call fails.
package ec2

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

var errNotBuilt = errors.New("the lab's Calico is built without a client of EC2: it cannot switch the source/destination check of an instance")

// Options are the settings of a client.
type Options struct {
	Region string
}

// Client is a client whose calls fail.
type Client struct{}

// NewFromConfig returns a client whose calls fail.
func NewFromConfig(aws.Config, ...func(*Options)) *Client {
	return &Client{}
}

// DescribeInstancesInput says which instances are asked for.
type DescribeInstancesInput struct {
	InstanceIds []string
}

// DescribeInstancesOutput lists instances.
type DescribeInstancesOutput struct {
	Reservations []types.Reservation
}

// DescribeInstances fails.
func (*Client) DescribeInstances(context.Context, *DescribeInstancesInput, ...func(*Options)) (*DescribeInstancesOutput, error) {
	return nil, errNotBuilt
}

// ModifyNetworkInterfaceAttributeInput says what changes.
type ModifyNetworkInterfaceAttributeInput struct {
	NetworkInterfaceId *string
	SourceDestCheck    *types.AttributeBooleanValue
}

// ModifyNetworkInterfaceAttributeOutput is the answer to a change.
type ModifyNetworkInterfaceAttributeOutput struct{}

// ModifyNetworkInterfaceAttribute fails.
func (*Client) ModifyNetworkInterfaceAttribute(
	context.Context, *ModifyNetworkInterfaceAttributeInput, ...func(*Options),
) (*ModifyNetworkInterfaceAttributeOutput, error) {
	return nil, errNotBuilt
}
