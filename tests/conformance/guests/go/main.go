// A function as its authors write one: the public Go library, an unmodified handler.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Name string `json:"name"`
	Fail bool   `json:"fail"`
}

type answer struct {
	Hello    string `json:"hello"`
	Request  string `json:"request"`
	Deadline bool   `json:"deadline"`
	Layer    string `json:"layer"`
}

func handle(ctx context.Context, in event) (answer, error) {
	fmt.Println("go says hello to", in.Name)
	if in.Fail {
		return answer{}, fmt.Errorf("asked to fail")
	}
	out := answer{Hello: in.Name}
	if about, ok := lambdacontext.FromContext(ctx); ok {
		out.Request = about.AwsRequestID
	}
	_, out.Deadline = ctx.Deadline()
	if text, err := os.ReadFile("/opt/word.txt"); err == nil {
		out.Layer = string(text)
	}
	return out, nil
}

func main() {
	lambda.Start(handle)
}
