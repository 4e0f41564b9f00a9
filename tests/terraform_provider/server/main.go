// A Terraform provider that knows the schema of another, and nothing else. `terraform validate` and tests with
// mock_provider ask for no more. The schema lies in schema.json beside the program.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type block struct {
	Attributes map[string]struct {
		Type                         json.RawMessage
		Required, Optional, Computed bool
	}
	Blocks map[string]struct {
		Nesting  string // list, set or single
		Min, Max int64
		Block    block
	}
}

func (b block) schema() *tfprotov5.SchemaBlock {
	result := &tfprotov5.SchemaBlock{}
	for name, attribute := range b.Attributes {
		typ, err := tftypes.ParseJSONType(attribute.Type) //nolint:staticcheck // there is no other way to read one
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		result.Attributes = append(result.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: typ, Required: attribute.Required, Optional: attribute.Optional, Computed: attribute.Computed,
		})
	}
	nestings := map[string]tfprotov5.SchemaNestedBlockNestingMode{
		"list":   tfprotov5.SchemaNestedBlockNestingModeList,
		"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
		"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	}
	for name, nested := range b.Blocks {
		result.BlockTypes = append(result.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Nesting: nestings[nested.Nesting], MinItems: nested.Min, MaxItems: nested.Max, Block: nested.Block.schema(),
		})
	}
	return result
}

type provider struct {
	tfprotov5.ProviderServer // whatever is not below is not asked for
	schema                   *tfprotov5.GetProviderSchemaResponse
}

func (p provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return p.schema, nil
}

func (p provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (p provider) PrepareProviderConfig(_ context.Context, request *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (p provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (p provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func schemas(blocks map[string]block) map[string]*tfprotov5.Schema {
	result := map[string]*tfprotov5.Schema{}
	for name, b := range blocks {
		result[name] = &tfprotov5.Schema{Block: b.schema()}
	}
	return result
}

func main() {
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		log.Fatal(err)
	}
	var read struct {
		Provider        block
		Resources, Data map[string]block
	}
	if err := json.Unmarshal(text, &read); err != nil {
		log.Fatal(err)
	}
	served := provider{schema: &tfprotov5.GetProviderSchemaResponse{
		Provider:           &tfprotov5.Schema{Block: read.Provider.schema()},
		ResourceSchemas:    schemas(read.Resources),
		DataSourceSchemas:  schemas(read.Data),
		ServerCapabilities: &tfprotov5.ServerCapabilities{},
	}}
	if err := tf5server.Serve("registry.terraform.io/hashicorp/google", func() tfprotov5.ProviderServer { return served }); err != nil {
		log.Fatal(err)
	}
}
